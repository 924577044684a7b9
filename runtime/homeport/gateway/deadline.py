"""The one moment by which a request must be over, and shares of the way to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from homeport.domain.errors import InvalidRequestError
from homeport.domain.overload import DeadlineError

TOTAL = "total"
"""Stage of a request whose whole time is over."""


@attrs.frozen(kw_only=True)
class Deadline:
    """When a request must be over, on the clock of the event loop.

    Attributes:
        began_at: When it came, in seconds.
        seconds: What it was allowed.
    """

    began_at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Begin now.

        Raises:
            InvalidRequestError: No number of seconds, or a negative one.
        """
        if not seconds >= 0:
            message = f"deadline_seconds must be at least 0, got {seconds!r}"
            raise InvalidRequestError(message, field="deadline_seconds")
        return cls(began_at=_now(), seconds=seconds)

    @property
    def at(self) -> float:
        """When it is over."""
        return self.began_at + self.seconds

    def left(self) -> float:
        """Tell how many seconds are left; negative when it is over."""
        return self.at - _now()

    def check(self) -> None:
        """Stop a request whose time is over.

        Raises:
            DeadlineError: It is.
        """
        if self.left() <= 0:
            raise DeadlineError(TOTAL, self.seconds)

    @asynccontextmanager
    async def stage(self, name: str, seconds: float | None) -> AsyncIterator[None]:
        """Bound a part of the way.

        Args:
            name: For the error.
            seconds: What the part may take; None takes all that is left.

        Raises:
            DeadlineError: It took longer, or the whole is over; says which.
        """
        self.check()
        over_at, late = self.at, DeadlineError(TOTAL, self.seconds)
        if seconds is not None and _now() + seconds < over_at:
            over_at, late = _now() + seconds, DeadlineError(name, seconds)
        try:
            async with asyncio.timeout_at(over_at) as limit:
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise late from error


def _now() -> float:
    return asyncio.get_running_loop().time()
