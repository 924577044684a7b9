"""What the ledger is told: what an attempt could take, and what it took."""

import zlib
from enum import StrEnum

import attrs

from homeport_costguard.amounts import Amounts
from homeport_costguard.labels import Labels


class Outcome(StrEnum):
    """How an attempt ended."""

    OK = "ok"
    FAILED = "failed"
    CANCELLED = "cancelled"


@attrs.frozen(kw_only=True)
class Reservation:
    """The worst case of one attempt.

    Attributes:
        attempt: Names the attempt; no two bear one name.
        labels: Whom it is accounted to.
        most: What it could take.
    """

    attempt: str
    labels: Labels
    most: Amounts


@attrs.frozen(kw_only=True)
class Charge:
    """What one attempt took.

    Attributes:
        attempt: Its name.
        labels: Whom it is accounted to.
        request: Id of the request it belongs to.
        outcome: How it ended.
        prompt_tokens: Of its prompt.
        cached_tokens: Those of them that its server knew.
        completion_tokens: Of its answer.
        cpu_ms: Computed on this machine, in milliseconds.
        micro_usd: What it cost.
        is_estimate: Whether its backend told nothing, so that the whole reservation is charged.
    """

    attempt: str
    labels: Labels
    request: str = ""
    outcome: Outcome = Outcome.OK
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cpu_ms: int = 0
    micro_usd: int = 0
    is_estimate: bool = False

    @property
    def amounts(self) -> Amounts:
        """What accounts are charged."""
        return Amounts(
            micro_usd=self.micro_usd,
            tokens=self.prompt_tokens + self.completion_tokens,
            cpu_ms=self.cpu_ms,
            calls=1,
        )


def checksum(row: tuple[object, ...]) -> int:
    """Sum a row of the ledger up, so that a damaged one is found."""
    return zlib.crc32(repr(row).encode())
