"""An orderly stop: while running requests end, new ones are turned away."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aiohttp import web
from aiohttp.typedefs import Handler

from homeport.domain.errors import OverloadedError
from homeport.server.routes import Scope, scope_of

RETRY_AFTER_SECONDS = 30
"""By then a host that stops has stopped, and its successor may listen."""


class Readiness:
    """Counts the requests that are being answered.

    Attributes:
        draining: Whether new ones are turned away.
    """

    def __init__(self) -> None:
        self.draining = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Count a request.

        Raises:
            OverloadedError: The host is stopping.
        """
        if self.draining:
            raise OverloadedError("the server is stopping", retry_after_seconds=RETRY_AFTER_SECONDS)
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def drain(self, seconds: float) -> None:
        """Turn new requests away and wait until none is left, or the time is over."""
        self.draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()


READINESS: web.AppKey[Readiness] = web.AppKey("readiness", Readiness)


@web.middleware
async def turn_away(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 503 while the host stops, except on public routes, which say so themselves."""
    if scope_of(request) is Scope.PUBLIC:
        return await handler(request)
    with request.app[READINESS].answering():
        return await handler(request)
