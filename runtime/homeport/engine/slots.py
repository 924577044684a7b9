"""Places in the key-value cache."""

import heapq


class SlotPool:
    """Hands out slots, lowest first, so that the rows of a batch lie side by side in memory."""

    def __init__(self, count: int) -> None:
        self._free = list(range(count))

    def __bool__(self) -> bool:
        return bool(self._free)

    def take(self) -> int:
        """Take the lowest free slot; there must be one."""
        return heapq.heappop(self._free)

    def give_back(self, slot: int) -> None:
        """Free a slot."""
        heapq.heappush(self._free, slot)
