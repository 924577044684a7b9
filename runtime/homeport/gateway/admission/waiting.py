"""The queue of one target: classes, ageing, and what goes first when there is more than can be served."""

from collections import OrderedDict
from collections.abc import Sequence

from homeport.domain.generation import Priority
from homeport.gateway.admission.agents import AgentShare
from homeport.gateway.admission.turns import ClassQueue, OwnerShares, Waiter
from homeport.gateway.target import TargetKey

CLASSES = len(Priority)
INTERACTIVE = range(Priority.LOW)
"""Ranks of those that somebody waits for."""
BATCH = range(Priority.LOW, CLASSES)
"""Ranks of those that nobody waits for."""

STALE_SHARE = 0.5
"""The newest go first once the oldest has used so much of the time that there is."""
_WHOLE = 1 - 1e-9
"""Ten times 0.1 is a little less than 1."""


class BatchShare:
    """Deals places out between interactive and batch requests.

    Args:
        share: Of batch, 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._credit = 0.0

    def is_due(self) -> bool:
        """Tell, once for each place that both want, whether it is for batch."""
        self._credit += self.share
        if self._credit < _WHOLE:
            return False
        self._credit -= 1
        return True


class TargetQueue:
    """Requests that wait for one target.

    Within a class owners take turns. A request moves up a class whenever it has waited for another
    ``ageing_seconds``. While both interactive and batch requests wait, batch gets its share of the places.
    Once the oldest interactive request has waited for half of what such may, the newest go first, in the
    classes that they asked for: those that are served then are in time, and the oldest would be late anyway.

    Args:
        target: Whose queue it is.
        ageing_seconds: See above.
        batch_share: See above, 0 to 1.
    """

    def __init__(self, target: TargetKey, *, ageing_seconds: float, batch_share: float) -> None:
        self.ageing_seconds = ageing_seconds
        self.shares = OwnerShares()
        self._classes = tuple(ClassQueue(target, self.shares) for _ in range(CLASSES))
        self._interactive: OrderedDict[Waiter, None] = OrderedDict()
        self._budgets_seconds = 0.0
        self._size = 0
        self._share = BatchShare(batch_share)
        self._newest_first = False

    def __len__(self) -> int:
        return self._size

    def reconfigure(self, *, ageing_seconds: float, batch_share: float) -> None:
        """Adopt other rules."""
        self.ageing_seconds = ageing_seconds
        self._share.share = batch_share

    @property
    def depths(self) -> tuple[int, ...]:
        """How many wait in each class, most urgent first."""
        return tuple(len(each) for each in self._classes)

    def add(self, waiter: Waiter) -> None:
        """Let a request wait; :meth:`update` comes first."""
        self.shares.wait(waiter.owner)
        self._classes[waiter.rank].add(waiter)
        if waiter.born_rank in INTERACTIVE:
            self._interactive[waiter] = None
            self._budgets_seconds += waiter.budget_seconds
        waiter.is_queued = True
        self._size += 1

    def remove(self, waiter: Waiter) -> None:
        """Take out a request that will not run."""
        self._classes[waiter.rank].remove(waiter)
        self._forget(waiter)

    def take(self, kind: range | None = None) -> Waiter | None:
        """Take out the request whose turn it is; :meth:`update` comes first.

        Args:
            kind: Interactive or batch; None lets the shares decide.
        """
        if not self._size:
            return None
        for ranks in self._kinds() if kind is None else (kind,):
            newest_first = self._newest_first and ranks is INTERACTIVE
            for rank in ranks:
                waiter = self._classes[rank].take(newest_first=newest_first)
                if waiter is not None:
                    self._forget(waiter)
                    return waiter
        return None

    def first_rank(self, kind: range) -> int | None:
        """Tell the most urgent class of a kind that has a request which may run."""
        return next((rank for rank in kind if self._classes[rank].has_runnable), None)

    @property
    def has_runnable(self) -> bool:
        """Whether a request may run as soon as there is a place."""
        return self._size > 0 and any(each.has_runnable for each in self._classes)

    def start(self, owner: str) -> None:
        """Count a request that got a place here."""
        self.shares.start(owner)
        self._renew(owner)

    def end(self, owner: str) -> None:
        """Count a request that left its place."""
        self.shares.end(owner)
        self._renew(owner)

    def update(self, now: float) -> None:
        """Let requests age, or find that the newest go first."""
        if not self._size:
            self._newest_first = False
            return
        is_stale = self._is_stale(now)
        if is_stale and not self._newest_first:
            self._begin_again()
        self._newest_first = is_stale
        for rank in range(CLASSES - 1, 0, -1):
            if not is_stale or rank > BATCH.start:
                self._age(rank, now)

    def ahead_of(self, rank: int, owner: str, agent: AgentShare | None) -> int:
        """Count those that surely go before a new request: the more urgent of its kind and its own.

        Those of other agents may be held back, and those of other owners take turns with it.
        """
        if self._newest_first:
            return 0
        kind = BATCH if rank in BATCH else INTERACTIVE
        urgent = sum(self._classes[each].unbound for each in kind if each < rank)
        return urgent + self._classes[rank].count_of(owner, agent)

    def newest_of_lowest(self) -> Waiter | None:
        """Find who would be missed least."""
        lowest = next((each for each in reversed(self._classes) if each), None)
        return None if lowest is None else next(reversed(lowest.arrivals))

    def _kinds(self) -> Sequence[range]:
        """Order interactive and batch by the shares that they are due."""
        if all(self.first_rank(kind) is not None for kind in (INTERACTIVE, BATCH)) and self._share.is_due():
            return BATCH, INTERACTIVE
        return INTERACTIVE, BATCH

    def _is_stale(self, now: float) -> bool:
        """Tell whether the oldest that somebody waits for has waited for half of what such requests may.

        The mean of all that wait counts: one client in a hurry does not turn the queue round for the others.
        """
        oldest = next(iter(self._interactive), None)
        if oldest is None:
            return False
        mean_seconds = self._budgets_seconds / len(self._interactive)
        return now - oldest.entered_at >= mean_seconds * STALE_SHARE

    def _age(self, rank: int, now: float) -> None:
        """Move those up that have been in a class for long enough; the first in it came first."""
        queue = self._classes[rank]
        while queue.arrivals:
            waiter = next(iter(queue.arrivals))
            if now - waiter.joined_at < self.ageing_seconds:
                return
            queue.remove(waiter)
            waiter.rank = rank - 1
            waiter.joined_at += self.ageing_seconds
            self._classes[rank - 1].add(waiter)

    def _begin_again(self) -> None:
        """Send everybody back to the class asked for: among the newest, age does not count."""
        waiters = sorted((each for queue in self._classes for each in queue.arrivals), key=_entered_at)
        for waiter in waiters:
            self._classes[waiter.rank].remove(waiter)
        for waiter in waiters:
            waiter.begin_again()
            self._classes[waiter.rank].add(waiter)

    def _forget(self, waiter: Waiter) -> None:
        self.shares.wait_no_more(waiter.owner)
        if waiter.born_rank in INTERACTIVE:
            del self._interactive[waiter]
            self._budgets_seconds = (
                self._budgets_seconds - waiter.budget_seconds if self._interactive else 0.0
            )
        waiter.is_queued = False
        self._size -= 1

    def _renew(self, owner: str) -> None:
        for queue in self._classes:
            queue.renew(owner)


def _entered_at(waiter: Waiter) -> float:
    return waiter.entered_at
