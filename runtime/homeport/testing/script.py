"""How one call of a scripted backend goes, and what may go wrong with it."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from random import Random

import attrs


class Fault(StrEnum):
    """What goes wrong with a call."""

    CONNECT = "connect"
    """Nobody answers: an error when the stream is opened."""
    SERVER_ERROR = "server error"
    """An error instead of the first event, after the delay of a first token."""
    OVERLOADED = "overloaded"
    """Likewise, with a Retry-After."""
    REFUSED = "refused"
    """The request is found wrong, which no other try mends."""
    STALL = "stall"
    """Silence for ever, behind so many tokens."""
    CUT = "cut"
    """The stream ends behind so many tokens as if it were done."""
    BREAK = "break"
    """An error behind so many tokens."""
    GARBAGE = "garbage"
    """Something that is no event, behind so many tokens."""
    BUG = "bug"
    """An error of no homeport class, behind so many tokens."""
    SLOW_CLOSE = "slow close"
    """A good answer whose stream takes long to close."""
    WRONG_USAGE = "wrong usage"
    """A good answer with impossible figures."""


@attrs.frozen(kw_only=True)
class Script:
    """How one call goes.

    Attributes:
        first_token_seconds: Delay of the first event.
        tokens_per_second: Pace of the others, > 0.
        fault: What goes wrong; None is nothing.
        at_token: Behind how many tokens it does, where that is a matter of the fault.
        retry_after_seconds: What an overloaded call is told.
        close_seconds: How long a slow stream takes to close.
    """

    first_token_seconds: float = 0.05
    tokens_per_second: float = 100.0
    fault: Fault | None = None
    at_token: int = 0
    retry_after_seconds: int = 1
    close_seconds: float = 2.0

    @classmethod
    def draw(
        cls, generator: Random, *, fault_share: float, faults: Sequence[Fault] = tuple(Fault)
    ) -> "Script":
        """Draw a script, with a fault in the given share of cases."""
        return cls(
            first_token_seconds=generator.uniform(0.01, 1.0),
            tokens_per_second=generator.uniform(5.0, 200.0),
            fault=generator.choice(faults) if generator.random() < fault_share else None,
            at_token=generator.randrange(8),
            retry_after_seconds=generator.randrange(1, 45),
            close_seconds=generator.uniform(0.1, 5.0),
        )


def drawn_scripts(
    generator: Random, *, fault_share: float, faults: Sequence[Fault] = tuple(Fault)
) -> Iterator[Script]:
    """Draw scripts without end."""
    while True:
        yield Script.draw(generator, fault_share=fault_share, faults=faults)
