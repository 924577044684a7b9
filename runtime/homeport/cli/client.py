"""A small synchronous client of the HTTP API, on the standard library alone: it is imported in 10 ms."""

import http.client
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from homeport.cli.address import Address
from homeport.cli.text import harmless_line
from homeport.domain.errors import HomeportError

JsonObject = Mapping[str, Any]
"""One decoded JSON object of the wire."""

_CONNECT_TIMEOUT_SECONDS = 5.0
_MAX_ANSWER_BYTES = 64 * 1024**2
_MAX_LINE_BYTES = 8 * 1024**2
_MAX_SHOWN_CHARACTERS = 500
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_FIRST_ERROR_STATUS = 400
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""What Python makes of an argument's bytes that are no UTF-8; JSON must not hold it (RFC 8259, 8.1)."""


class NoServerError(HomeportError):
    """Nobody answers at the address."""

    code: ClassVar[str] = "no_server"


class AnswerError(HomeportError):
    """The server answered with an error, or broke off.

    Args:
        message: What the server said.
        http_status: 200 for an error inside a stream, 0 where the answer was none.
        faults: What is wrong in detail, one line each.
    """

    code: ClassVar[str] = "server_answer"

    def __init__(
        self, message: str, *, http_status: int, hint: str | None = None, faults: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.http_status = http_status
        self.faults = faults

    @property
    def is_not_found(self) -> bool:
        """Whether the thing asked for does not exist."""
        return self.http_status == _NOT_FOUND


class Client:
    """Asks one server; every call has its own connection.

    Args:
        address: Where the server is.
        api_key: Sent as a bearer token; None sends none.
        patience_seconds: How long each piece of an answer may take; None waits for ever, for a model may
            take minutes to load or to read a long prompt.
    """

    def __init__(
        self, address: Address, *, api_key: str | None = None, patience_seconds: float | None = None
    ) -> None:
        self.address = address
        self._api_key = api_key
        self._patience_seconds = patience_seconds

    def impatient(self, patience_seconds: float) -> "Client":
        """Give a client of the same server that waits so long at most."""
        return Client(self.address, api_key=self._api_key, patience_seconds=patience_seconds)

    def is_answering(self) -> bool:
        """Whether anybody accepts connections at the address."""
        try:
            self._connect().close()
        except NoServerError:
            return False
        return True

    def ask(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        """Send a request and read its whole answer; an empty one is an empty object.

        Raises:
            NoServerError: Nobody answers.
            AnswerError: The answer is an error, or no JSON object.
        """
        with self._response(method, path, body) as response:
            data = self._read(response)
        return self._decode(data) if data.strip() else {}

    def has(self, path: str) -> bool:
        """Ask whether there is something at a path.

        Raises:
            NoServerError: Nobody answers.
            AnswerError: The server refuses to say.
        """
        try:
            with self._response("HEAD", path, None):
                return True
        except AnswerError as error:
            if error.is_not_found:
                return False
            raise

    def send(self, path: str, chunks: Iterable[bytes], size: int) -> None:
        """Post a body of a known size piece by piece.

        Raises:
            NoServerError: Nobody answers.
            AnswerError: The server refuses it, also before it came to its end.
        """
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with self._exchange("POST", path, chunks, headers):
            pass

    @contextmanager
    def stream(self, path: str, body: JsonObject) -> Iterator[Iterator[JsonObject]]:
        """Post a request and read its answer line by line; leaving early cancels it.

        Raises:
            NoServerError: Nobody answers.
            AnswerError: The answer is an error, or holds one.
        """
        with self._response("POST", path, body) as response:
            yield self._lines(response)

    @contextmanager
    def _response(
        self, method: str, path: str, body: JsonObject | None
    ) -> Iterator[http.client.HTTPResponse]:
        data = None if body is None else _encoded(body)
        with self._exchange(method, path, data, {"Content-Type": "application/json"}) as response:
            yield response

    @contextmanager
    def _exchange(
        self, method: str, path: str, data: bytes | Iterable[bytes] | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        connection = self._connect()
        try:
            with self._break_offs():
                # A server that refuses a long body may answer and close before it has read it all.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(
                        method, self.address.path + path, body=data, headers={**self._headers(), **headers}
                    )
                response = connection.getresponse()
            if response.status >= _FIRST_ERROR_STATUS:
                raise _refusal(response, self._read(response), self.address)
            yield response
        finally:
            connection.close()

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        with self._break_offs():
            return response.read(_MAX_ANSWER_BYTES)

    def _lines(self, response: http.client.HTTPResponse) -> Iterator[JsonObject]:
        while True:
            with self._break_offs():
                line = response.readline(_MAX_LINE_BYTES)
            if not line:
                return
            if line.strip():
                answer = self._decode(line)
                if answer.get("error"):
                    raise AnswerError(
                        _shown(answer["error"]),
                        http_status=response.status,
                        hint=_hint(response.status, answer),
                    )
                yield answer

    @contextmanager
    def _break_offs(self) -> Iterator[None]:
        """Turn what the socket raises into an error that names the server."""
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            reason = f"{type(error).__name__}: {error}"
            raise AnswerError(f"{self.address} broke off its answer ({reason})", http_status=0) from error

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self.address.secure else http.client.HTTPConnection
        connection = kind(self.address.host, self.address.port, timeout=self._connect_seconds)
        try:
            connection.connect()
        except OSError as error:
            raise NoServerError(
                f"no server answers at {self.address} ({error})",
                hint="Start one with `homeport serve`, or set OLLAMA_HOST to where it listens",
            ) from error
        if connection.sock is not None:
            connection.sock.settimeout(self._patience_seconds)
        return connection

    @property
    def _connect_seconds(self) -> float:
        patience = self._patience_seconds
        return _CONNECT_TIMEOUT_SECONDS if patience is None else min(patience, _CONNECT_TIMEOUT_SECONDS)

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": "homeport"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        return headers

    def _decode(self, data: bytes) -> JsonObject:
        try:
            answer = json.loads(data)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            seen = _shown(data.decode(errors="replace"))
            raise AnswerError(
                f"{self.address} does not speak the Ollama API; it answered {seen!r}",
                http_status=0,
                hint="Set OLLAMA_HOST to where homeport or Ollama listens",
            )
        return answer


def _encoded(body: JsonObject) -> bytes:
    return _LONE_SURROGATE.sub("\ufffd", json.dumps(body, ensure_ascii=False)).encode()


def _refusal(response: http.client.HTTPResponse, data: bytes, address: Address) -> AnswerError:
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    answer = answer if isinstance(answer, dict) else {}
    told = answer.get("error")
    if isinstance(told, dict):  # as routes under /v1 tell it
        answer = {**told, "error": told.get("message")}
    text = _shown(answer.get("error") or f"{address} answered {response.status} {response.reason}")
    told = answer.get("faults")
    faults = tuple(_shown(fault) for fault in told) if isinstance(told, list) else ()
    return AnswerError(text, http_status=response.status, hint=_hint(response.status, answer), faults=faults)


def _hint(status: int, answer: JsonObject) -> str | None:
    """Say how to mend it: in the server's words, else in ours."""
    told = answer.get("hint")
    if isinstance(told, str) and told:
        return _shown(told)
    if status == _UNAUTHORIZED:
        return "Set HOMEPORT_API_KEY to the server's key"
    if status == _FORBIDDEN:
        return "This key may not do that, or the server does not answer to this host name"
    near = answer.get("suggestions")
    names = [harmless_line(str(name)) for name in near] if isinstance(near, list) else []
    if names and f"'{names[0]}'" in str(answer.get("error")):
        return f"It is known but not installed. Run: homeport pull {names[0]}"
    return f"Did you mean {' or '.join(names)}?" if names else None


def _shown(text: object) -> str:
    return harmless_line(str(text))[:_MAX_SHOWN_CHARACTERS]
