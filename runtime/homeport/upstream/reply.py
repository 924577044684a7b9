"""An answer of another server while it is read."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TypeVar

import aiohttp
import msgspec

from homeport.domain.errors import BackendError
from homeport.domain.overload import DeadlineError
from homeport.upstream.lines import Lines

MOST_LINE_BYTES = 8 * 1024**2
"""Longest line of a stream, as Ollama's own client allows."""
MOST_ANSWER_BYTES = 64 * 1024**2
"""Longest answer that is read as a whole: vectors of many texts."""

_DRAIN_SECONDS = 0.25
"""How long the end of an answer may take behind its last line, so that its connection can be used again."""
_MOST_DRAINED_BYTES = 65536


def cause_of(error: Exception) -> str:
    """Say what broke. The form for programmers would show the headers of the request, the key among them."""
    return f"{type(error).__name__}: {error}"


StructT = TypeVar("StructT", bound=msgspec.Struct)


class Reply:
    """Reads a response; whatever breaks is a ``BackendError`` that names the backend.

    Attributes:
        failed: Whether reading broke.
        is_over: Set by the reader at the last line it needs.
    """

    def __init__(self, backend: str, response: aiohttp.ClientResponse, total_seconds: float) -> None:
        self.failed = False
        self.is_over = False
        self._backend = backend
        self._response = response
        self._total_seconds = total_seconds
        self._lines = Lines(MOST_LINE_BYTES)

    @property
    def status(self) -> int:
        """Status of HTTP."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, looked up without regard to case."""
        return self._response.headers

    async def body(self, kind: type[StructT], *, most_bytes: int = MOST_ANSWER_BYTES) -> StructT:
        """Read and decode a whole answer.

        Raises:
            BackendError: It broke off, is too long, or is not what is expected.
        """
        data = await self.read(most_bytes)
        if len(data) > most_bytes:
            raise self.fault(f"answered with more than {most_bytes} bytes")
        return self.decode(kind, data)

    async def read(self, most_bytes: int) -> bytes:
        """Read to the end, or a little more than so many bytes.

        Raises:
            BackendError: It broke off.
        """
        data = bytearray()
        with self._watched():
            async for piece in self._response.content.iter_any():
                data += piece
                if len(data) > most_bytes:
                    break
        return bytes(data)

    async def line(self) -> bytes | None:
        """Read the next line that is not empty of a stream of lines; None at its end.

        Raises:
            BackendError: It broke off, or a line is too long.
        """
        while (line := await self.raw_line()) is not None:
            if line.strip():
                return line
        return None

    async def raw_line(self) -> bytes | None:
        """Read the next line, empty ones too; None at the end.

        Raises:
            BackendError: It broke off, or a line is too long.
        """
        while (line := self._lines.take()) is None:
            with self._watched():
                piece = await self._response.content.readany()
            if not piece:
                return self._lines.rest() or None
            try:
                self._lines.feed(piece)
            except ValueError as error:
                raise self.fault(f"sent a stream in which {error}") from error
        return line

    def decode(self, kind: type[StructT], data: bytes) -> StructT:
        """Decode JSON.

        Raises:
            BackendError: It is not what is expected.
        """
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self.fault(f"answered with nonsense ({error})") from error

    def fault(self, what: str) -> BackendError:
        """Make the error of an answer that cannot be used."""
        self.failed = True
        return BackendError(f"backend {self._backend!r} {what}")

    async def leave(self) -> None:
        """Let go of the connection: for others where the answer ends here, else by closing it."""
        content = self._response.content
        if self.is_over and not content.at_eof():
            with suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(_DRAIN_SECONDS):
                    left = _MOST_DRAINED_BYTES
                    while left > 0 and not content.at_eof():
                        left -= len(await content.readany())
        self.close()

    def close(self) -> None:
        """End the connection, unless the answer was read to its end: the other side stops working."""
        if not self._response.content.at_eof():
            self._response.close()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            self.failed = True
            raise DeadlineError("backend", self._total_seconds) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self.fault(f"broke off in the middle of an answer: {cause_of(error)}") from error
