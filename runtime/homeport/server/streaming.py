"""Streamed responses: NDJSON and server-sent events."""

from collections.abc import Callable, Iterable

import attrs
import msgspec
from aiohttp import ClientConnectionResetError, web

from homeport.server.dialects import dialect_of
from homeport.server.errors import log_failure
from homeport.server.failure import ClientGoneError, Failure, failure_of
from homeport.server.state import REQUEST_ID

_PING = "ping"


@attrs.frozen(kw_only=True)
class Framing:
    """How values stand in a stream.

    Attributes:
        content_type: Of the response.
        headers: Further headers.
        before: Bytes before each value.
        after: Bytes after each value.
        comment: How a comment stands; empty where clients would stumble.
        ping: What breaks a long silence; empty takes a comment, where there are some.
        names_events: Whether each value is preceded by the name of its event, which is its field ``type``.
        closing: What follows the last value of a stream that ended well.
    """

    content_type: str
    headers: dict[str, str] = attrs.field(factory=dict)
    before: bytes = b""
    after: bytes
    comment: bytes = b""
    ping: bytes = b""
    names_events: bool = False
    closing: bytes = b""

    def frame(self, value: msgspec.Struct) -> bytes:
        """Encode one value."""
        name = str(getattr(value, "type", "")) if self.names_events else ""
        event = b"event: %b\n" % name.encode() if name else b""
        return event + self.before + msgspec.json.encode(value) + self.after


NDJSON = Framing(content_type="application/x-ndjson", after=b"\n")
SSE = Framing(
    content_type="text/event-stream",
    headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    before=b"data: ",
    after=b"\n\n",
    comment=b": %b\n\n",
    closing=b"data: [DONE]\n\n",
)
NAMED_SSE = attrs.evolve(SSE, names_events=True, closing=b"")
"""Events that say what they are; the last of them says that it is the last."""

Telling = Callable[[Failure], Iterable[msgspec.Struct]]
"""Spells a failure within a stream."""


class FrameStream:
    """A response that begins with its first frame, so that errors before it keep their status.

    Args:
        request: Being answered.
        framing: How values stand in it.
        telling: Spells a failure within it; None takes the error of the dialect.
    """

    def __init__(self, request: web.Request, framing: Framing, telling: Telling | None = None) -> None:
        self._request = request
        self._framing = framing
        self._telling = telling or self._error
        self._response: web.StreamResponse | None = None

    async def send(self, values: Iterable[msgspec.Struct], headers: dict[str, str]) -> None:
        """Write values; ``headers`` count when they are the first."""
        frames = b"".join(self._framing.frame(value) for value in values)
        if frames:
            await self._write(frames, headers)

    async def ping(self, headers: dict[str, str]) -> None:
        """Break a silence."""
        if self._framing.ping:
            await self._write(self._framing.ping, headers)
        else:
            await self.comment(_PING, headers)

    async def comment(self, text: str, headers: dict[str, str]) -> None:
        """Write what clients skip and people may read, where the framing has such a thing."""
        if self._framing.comment:
            await self._write(self._framing.comment % text.encode(), headers)

    async def fail(self, error: Exception) -> web.StreamResponse:
        """Tell an error within the stream and end it; before its begin, raise it."""
        if self._response is None:
            raise error
        failure = failure_of(error, self._request[REQUEST_ID])
        log_failure(self._request, failure, error)
        frames = b"".join(self._framing.frame(value) for value in self._telling(failure))
        return await self._write(frames, {})

    async def close(self) -> web.StreamResponse:
        """End a stream that went well."""
        return await self._write(self._framing.closing, {})

    def _error(self, failure: Failure) -> Iterable[msgspec.Struct]:
        return (dialect_of(self._request.path).error(failure),)

    async def _write(self, data: bytes, headers: dict[str, str]) -> web.StreamResponse:
        response = self._response
        try:
            if response is None:
                response = web.StreamResponse(headers=self._framing.headers | headers)
                response.content_type = self._framing.content_type
                await response.prepare(self._request)
                self._response = response
            if data:
                await response.write(data)
        except ClientConnectionResetError as error:
            raise ClientGoneError from error
        return response
