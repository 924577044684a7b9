"""A client of one server for ``migrate verify``, on the standard library alone; it obeys no proxy."""

import http.client
import json
from collections.abc import Mapping

from homeport import BackendError
from homeport_ollama.migrate.addresses import Target

_CONNECT_SECONDS = 5.0
_MOST_BYTES = 16 * 1024**2
_FIRST_ERROR_STATUS = 400
_ABSENT_STATUS = 404


class AbsentError(BackendError):
    """A server answers, and says that it does not have what was asked for."""


class WireClient:
    """Asks one server; every question has its own connection.

    Args:
        target: Where it is.
        key: Sent as a bearer token; empty sends none.
        seconds: How long one answer may take.
    """

    def __init__(self, target: Target, *, key: str = "", seconds: float = 300.0) -> None:
        self._target = target
        self._key = key
        self._seconds = seconds

    @property
    def url(self) -> str:
        """Where it is."""
        return self._target.url

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Mapping[str, object]:
        """Send a question and read its answer.

        Raises:
            AbsentError: The answer is 404.
            BackendError: Nobody answers, or the answer is another error or no object.
        """
        kind = http.client.HTTPSConnection if self._target.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._target.place, timeout=_CONNECT_SECONDS)
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            connection.connect()
            if connection.sock is not None:
                connection.sock.settimeout(self._seconds)
            connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
            response = connection.getresponse()
            data = response.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise BackendError(f"{self.url} does not answer {path}: {error}") from error
        finally:
            connection.close()
        try:
            answer = json.loads(data)
        except ValueError:
            answer = None
        if response.status >= _FIRST_ERROR_STATUS or not isinstance(answer, dict):
            told = answer.get("error") if isinstance(answer, dict) else data[:200]
            kind_of_error = AbsentError if response.status == _ABSENT_STATUS else BackendError
            raise kind_of_error(f"{path}: {response.status} {told!r:.300}")
        return answer
