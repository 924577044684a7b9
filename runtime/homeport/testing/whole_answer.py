"""An answer read to its end."""

from collections.abc import AsyncIterator
from typing import Self

import attrs

from homeport import Finished, GenerationEvent, TextDelta


@attrs.frozen
class WholeAnswer:
    """All events of one generation, in order."""

    events: tuple[GenerationEvent, ...]

    @classmethod
    async def read(cls, stream: AsyncIterator[GenerationEvent]) -> Self:
        """Read a stream to its end."""
        return cls(tuple([event async for event in stream]))

    @property
    def text(self) -> str:
        """What its deltas add up to."""
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def end(self) -> Finished:
        """Its last event.

        Raises:
            AssertionError: It does not end as it must.
        """
        last = self.events[-1] if self.events else None
        assert isinstance(last, Finished), f"the last event must be Finished, got {last!r}"
        return last
