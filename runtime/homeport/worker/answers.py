"""What a worker answered and nobody has read yet, sorted by request."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from homeport.domain.errors import InvalidRequestError, WorkerDiedError
from homeport.worker.channel import EventMessage, Failure, Vectors, error_of

Answer = EventMessage | Vectors
"""What a request that goes well is told."""


class Answers:
    """Keeps what comes back for each running request until it is read.

    Attributes:
        ended: Set when nothing comes any more; every request is told so.

    Args:
        died: Makes the error for requests whose worker is gone.
    """

    def __init__(self, died: Callable[[], WorkerDiedError]) -> None:
        self.ended = asyncio.Event()
        self._died = died
        self._unread: dict[str, asyncio.Queue[Answer | Failure | None]] = {}

    @contextmanager
    def expect(self, request_id: str) -> Iterator[None]:
        """Keep what comes for a request while the context is open.

        Raises:
            InvalidRequestError: One of that id runs already.
            WorkerDiedError: Nothing comes any more.
        """
        if self.ended.is_set():
            raise self._died()
        if request_id in self._unread:
            message = f"a request {request_id!r} is running already; ids must differ"
            raise InvalidRequestError(message, field="id")
        self._unread[request_id] = asyncio.Queue()
        try:
            yield
        finally:
            del self._unread[request_id]

    async def next(self, request_id: str) -> Answer:
        """Wait for the next answer to a request that is expected.

        Raises:
            HomeportError: What the engine reported, or ``WorkerDiedError``.
        """
        answer = await self._unread[request_id].get()
        if answer is None:
            raise self._died()
        if isinstance(answer, Failure):
            raise error_of(answer)
        return answer

    def put(self, answer: Answer | Failure) -> None:
        """Keep an answer; one to a request that was given up is dropped."""
        unread = self._unread.get(answer.id)
        if unread is not None:
            unread.put_nowait(answer)

    def end(self) -> None:
        """Tell every request that nothing comes any more."""
        self.ended.set()
        for unread in self._unread.values():
            unread.put_nowait(None)
