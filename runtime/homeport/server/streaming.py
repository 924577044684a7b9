"""Streamed responses: NDJSON and server-sent events."""

from collections.abc import Iterable

import attrs
import msgspec
from aiohttp import ClientConnectionResetError, web

from homeport.server.dialects import dialect_of
from homeport.server.errors import log_failure
from homeport.server.failure import ClientGoneError, failure_of


@attrs.frozen(kw_only=True)
class Framing:
    """How values stand in a stream.

    Attributes:
        content_type: Of the response.
        headers: Further headers.
        before: Bytes before each value.
        after: Bytes after each value.
        comment: How a comment stands, which also breaks a long silence; empty where clients would stumble.
        closing: What follows the last value of a stream that ended well.
    """

    content_type: str
    headers: dict[str, str] = attrs.field(factory=dict)
    before: bytes = b""
    after: bytes
    comment: bytes = b""
    closing: bytes = b""

    def frame(self, value: msgspec.Struct) -> bytes:
        """Encode one value."""
        return self.before + msgspec.json.encode(value) + self.after


NDJSON = Framing(content_type="application/x-ndjson", after=b"\n")
SSE = Framing(
    content_type="text/event-stream",
    headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    before=b"data: ",
    after=b"\n\n",
    comment=b": %b\n\n",
    closing=b"data: [DONE]\n\n",
)


class FrameStream:
    """A response that begins with its first frame, so that errors before it keep their status."""

    def __init__(self, request: web.Request, framing: Framing) -> None:
        self._request = request
        self._framing = framing
        self._response: web.StreamResponse | None = None

    async def send(self, values: Iterable[msgspec.Struct], headers: dict[str, str]) -> None:
        """Write values; ``headers`` count when they are the first."""
        frames = b"".join(self._framing.frame(value) for value in values)
        if frames:
            await self._write(frames, headers)

    async def ping(self, headers: dict[str, str]) -> None:
        """Break a silence."""
        await self.comment("ping", headers)

    async def comment(self, text: str, headers: dict[str, str]) -> None:
        """Write what clients skip and people may read, where the framing has such a thing."""
        if self._framing.comment:
            await self._write(self._framing.comment % text.encode(), headers)

    async def fail(self, error: Exception) -> web.StreamResponse:
        """Tell an error within the stream and end it; before its begin, raise it."""
        if self._response is None:
            raise error
        failure = failure_of(error)
        log_failure(self._request, failure, error)
        return await self._write(self._framing.frame(dialect_of(self._request.path).error(failure)), {})

    async def close(self) -> web.StreamResponse:
        """End a stream that went well."""
        return await self._write(self._framing.closing, {})

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
