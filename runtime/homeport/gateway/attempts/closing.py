"""Leaving what a plugin opened, however long it would like that to take."""

import asyncio
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Generic, TypeVar

from loguru import logger

CLOSE_SECONDS = 0.5
"""How long a backend may take to close a stream; a client must not wait for it."""

Opened = TypeVar("Opened")


class ClosedInTime(AbstractAsyncContextManager[Opened], Generic[Opened]):
    """Enters a context as it is, and cancels what it does at its end when that takes too long.

    Args:
        context: Of a plugin.
        name: For the log.
    """

    def __init__(self, context: AbstractAsyncContextManager[Opened], name: str) -> None:
        self._context = context
        self._name = name

    async def __aenter__(self) -> Opened:
        return await self._context.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS) as limit:
                return await self._context.__aexit__(kind, error, trace)
        except TimeoutError:
            if not limit.expired():
                raise
            logger.warning("{} took more than {} s to close and was cancelled", self._name, CLOSE_SECONDS)
            return None
