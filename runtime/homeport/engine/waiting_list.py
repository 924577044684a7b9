"""Sequences that wait for a place, and whose turn it is."""

from collections import deque
from collections.abc import Iterator, Mapping

from homeport.engine.sequence import Sequence

AGEING_SECONDS = 10.0
"""Waiting so long makes a sequence as urgent as the next class, so that nothing waits for ever."""


def urgency(sequence: Sequence, now: float) -> int:
    """Give the class of a sequence, the lower the more urgent, with its age counted in."""
    return sequence.priority - int((now - sequence.arrived_at) // AGEING_SECONDS)


def standing(sequence: Sequence, now: float) -> tuple[int, float]:
    """Order sequences by urgency and age: the lowest goes first, the highest gives way."""
    return urgency(sequence, now), sequence.arrived_at


class WaitingList:
    """Orders sequences by urgency, then by how little their owner has running, then by arrival."""

    def __init__(self) -> None:
        self._sequences: list[Sequence] = []

    def __len__(self) -> int:
        return len(self._sequences)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._sequences)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self._sequences.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out; it must be there."""
        self._sequences.remove(sequence)

    def turns(self, running: Mapping[str, int], now: float) -> Iterator[Sequence]:
        """Give all that wait now in the order of their turns.

        Args:
            running: How many sequences of each owner run; may change as turns are taken.
            now: On the clock of the arrivals.
        """
        queues: dict[str, deque[Sequence]] = {}
        for sequence in sorted(self._sequences, key=lambda waiting: standing(waiting, now)):
            queues.setdefault(sequence.owner, deque()).append(sequence)

        def head(owner: str) -> tuple[int, int, float]:
            first = queues[owner][0]
            return urgency(first, now), running.get(owner, 0), first.arrived_at

        while queues:
            owner = min(queues, key=head)
            yield queues[owner].popleft()
            if not queues[owner]:
                del queues[owner]
