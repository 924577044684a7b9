"""An orderly stop: say so, take work for a little while, let it end, and tell what cannot."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler

from homeport.gateway.admission.admission import Admission
from homeport.gateway.admission.visits import DRAINING_RETRY_SECONDS, Visit, Visits, draining_error
from homeport.server.routes import scope_of
from homeport.server.scopes import Scope

RETRY_AFTER_SECONDS = DRAINING_RETRY_SECONDS
ACCEPT_SECONDS = 5.0
"""How long new work is still taken after a SIGTERM: as long as balancers need to notice ``/readyz``."""
GRACE_SECONDS = 25.0
"""How long running requests may take to end, from the signal on."""
_LAST_WORDS_SECONDS = 2.0
"""How long requests that are cut off may take to tell their clients."""


@attrs.define(kw_only=True)
class Farewell:
    """How a host takes its leave; may be changed until it does.

    Attributes:
        accept_seconds: How long it takes new work before it turns it away.
        grace_seconds: How long running requests may take in all; at most this long new work is taken.
    """

    accept_seconds: float = 0.0
    grace_seconds: float = GRACE_SECONDS


class Readiness:
    """Counts the requests that are being answered.

    Attributes:
        draining: Whether the host is stopping.
    """

    def __init__(self) -> None:
        self.draining = False
        self._is_closed = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._visits = Visits()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Count a request.

        Raises:
            DrainingError: The host is stopping, and takes no more work.
        """
        if self._is_closed:
            raise draining_error()
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    def until_cut(self) -> AbstractContextManager[Visit]:
        """Do work that admission does not know of; its end, too, is an error that can be told.

        Raises:
            DrainingError: The time of the host is over.
        """
        return self._visits.visit()

    async def drain(self, admission: Admission, farewell: Farewell) -> None:
        """Stop in good order; returns when no request is left, or none that ends by itself.

        Args:
            admission: Closed when no more work is taken, and cut when the time is over.
            farewell: How long what takes.
        """
        loop = asyncio.get_running_loop()
        over_at = loop.time() + farewell.grace_seconds
        self.draining = True
        await asyncio.sleep(min(farewell.accept_seconds, farewell.grace_seconds))
        self._is_closed = True
        admission.close()
        await self._until_idle(over_at)
        if self._running:
            admission.cut()
            self._visits.cut()
            await self._until_idle(loop.time() + _LAST_WORDS_SECONDS)

    async def _until_idle(self, moment: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(moment):
                await self._idle.wait()


READINESS: web.AppKey[Readiness] = web.AppKey("readiness", Readiness)


@web.middleware
async def turn_away(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 503 when no more work is taken, except on public routes, which say so themselves."""
    if scope_of(request) is Scope.PUBLIC:
        return await handler(request)
    with request.app[READINESS].answering():
        return await handler(request)
