"""One target: its places, and those who wait for one."""

import attrs

from homeport.gateway.admission.limits import AdaptiveLimit
from homeport.gateway.admission.service_time import ServiceTime
from homeport.gateway.admission.waiting import TargetQueue
from homeport.gateway.target import TargetKey


@attrs.frozen(kw_only=True)
class TargetLoad:
    """How busy a target is.

    Attributes:
        in_flight: Requests that have a place.
        waiting: Requests that wait for one.
        limit: How many may have one at once.
    """

    in_flight: int
    waiting: int
    limit: int


class Line:
    """One target.

    Args:
        key: Names it.
        queue: Of those who wait.

    Attributes:
        slots: What it announces to serve at once; 0 where it does not tell.
        in_flight: Requests that have a place.
        adaptive: What it is found to take, where it does not tell.
        service: How long places are held.
        turn: When it last gave a place to somebody who waited, by count.
    """

    def __init__(self, key: TargetKey, queue: TargetQueue) -> None:
        self.key = key
        self.queue = queue
        self.slots = 0
        self.in_flight = 0
        self.adaptive = AdaptiveLimit()
        self.service = ServiceTime()
        self.turn = 0

    @property
    def limit(self) -> int:
        """How many it serves at once."""
        return self.slots or self.adaptive.limit

    @property
    def has_place(self) -> bool:
        """Whether a place is free."""
        return self.in_flight < self.limit

    @property
    def is_idle(self) -> bool:
        """Whether nobody is here."""
        return not self.in_flight and not len(self.queue)

    @property
    def load(self) -> TargetLoad:
        """How busy it is."""
        return TargetLoad(in_flight=self.in_flight, waiting=len(self.queue), limit=self.limit)

    def retry_seconds(self) -> float:
        """Tell when one who comes behind all that wait may find a place."""
        return self.service.retry_seconds(len(self.queue), self.limit)
