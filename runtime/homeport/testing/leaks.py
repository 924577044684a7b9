"""Finding what somebody left behind: tasks that run, and files and connections that are open."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LEAVE_SECONDS = 1.0
"""How long a task may take to end."""


@asynccontextmanager
async def nothing_left_behind() -> AsyncIterator[None]:
    """Watch what happens in the context.

    Raises:
        AssertionError: A task that was started in it still runs, or something opened in it was dropped open.
    """
    gc.collect()
    before = asyncio.all_tasks()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield
        fresh = asyncio.all_tasks() - before
        running = (await asyncio.wait(fresh, timeout=LEAVE_SECONDS))[1] if fresh else set()
        gc.collect()
    assert not running, f"still running: {running}"
    dropped = [str(warning.message) for warning in caught if warning.category is ResourceWarning]
    assert not dropped, f"not closed: {dropped}"
