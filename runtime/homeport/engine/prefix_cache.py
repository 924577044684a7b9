"""The slots of the key-value cache: who runs in them, what they remember, and how much memory they hold."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import attrs
from loguru import logger

from homeport.engine.block_trie import BLOCK_TOKENS, BlockTrie
from homeport.engine.shared_prefix import shared_length
from homeport.engine.slots import SlotPool
from homeport.plugin.token_model import TokenModel

_TRIM_TOKENS = 256
"""Least that is given back of a remembered sequence: a release is a call to the system for each head."""


@attrs.frozen
class Place:
    """A slot for a sequence, and how many of its tokens the slot holds already."""

    slot: int
    length: int


@attrs.define(eq=False)
class _Held:
    """What a slot holds: tokens, of which the first ``length`` are computed, and how many it may grow to."""

    owner: str
    tokens: Sequence[int]
    length: int
    room: int


class PrefixCache:
    """Gives slots to sequences and remembers what they leave, while there is memory.

    A slot is free, running, or parked: then it holds the tokens of a sequence that ended or was swapped out,
    until its memory or its place is needed. Parked slots go least recently used first. Memory is counted in
    tokens, whole blocks of them.

    Args:
        model: Whose cache it is.
        slots: Places in it.
        capacity: Tokens that all slots may hold together.
        remembers: Whether slots are parked; otherwise they are free again at once.
    """

    def __init__(self, model: TokenModel, *, slots: int, capacity: int, remembers: bool) -> None:
        self._model = model
        self._capacity = capacity // BLOCK_TOKENS * BLOCK_TOKENS
        self._remembers = remembers
        self._free = SlotPool(slots)
        self._held: dict[int, _Held] = {}
        self._parked: OrderedDict[int, None] = OrderedDict()
        self._used = 0
        self._parked_tokens = 0
        self._trie = BlockTrie()

    @property
    def remembers(self) -> bool:
        """Whether what one sequence computed serves others."""
        return self._remembers

    @property
    def used(self) -> int:
        """Tokens that running and remembered sequences may hold now."""
        return self._used

    def fits(self, tokens: Sequence[int], *, reserve: int, without: Iterable[int] = ()) -> bool:
        """Say whether there is memory to admit a sequence, were some running slots taken back before.

        Args:
            tokens: The sequence.
            reserve: Tokens it may soon grow by.
            without: The slots.
        """
        running = self._used - self._parked_tokens - sum(self._held[slot].room for slot in without)
        return not running or running + self._room(tokens, reserve) <= self._capacity

    def admit(self, owner: str, tokens: Sequence[int], *, reserve: int, reuses: bool = True) -> Place | None:
        """Find a place for a sequence, with as much of it as is known.

        At least its last token is left to compute. A sequence alone is always admitted, and may always grow.

        Args:
            owner: Who asks; only what the same owner left is used.
            tokens: The sequence, which may grow at its end while it runs.
            reserve: Tokens it may soon grow by, as far as the capacity holds them.
            reuses: Whether what is known may be used; otherwise all is left to compute.

        Returns:
            None while there is no slot or not enough memory.
        """
        if not self.fits(tokens, reserve=reserve):
            return None
        room = self._room(tokens, reserve)
        source, shared = self._match(owner, tokens) if reuses else (None, 0)
        if source is not None and source in self._parked and self._takes_over(source, shared, room):
            self._resume(source, tokens, shared, room)
            return Place(source, shared)
        slot = self._empty_slot(keep=source)
        if slot is None:
            return None
        self._shrink_parked(self._used + room - self._capacity, keep=source)
        self._held[slot] = _Held(owner, tokens, 0, room)
        self._used += room
        return Place(slot, self._copy(source, slot, shared))

    def grow(self, slot: int, length: int) -> bool:
        """Make sure that a running slot may hold so many tokens; False when others take all memory."""
        held = self._held[slot]
        if length <= held.room:
            return True
        more = whole_blocks(length) - held.room
        running = self._used - self._parked_tokens
        if running > held.room and running + more > self._capacity:
            return False
        self._shrink_parked(self._used + more - self._capacity)
        held.room += more
        self._used += more
        return True

    def note(self, slot: int, length: int) -> None:
        """Take note that a running slot holds so many computed tokens, so that others may copy them."""
        held = self._held[slot]
        held.length = length
        if self._remembers:
            self._trie.extend(slot, held.owner, held.tokens, length)

    def park(self, slot: int, length: int) -> None:
        """Take back a slot that holds so many computed tokens, and remember them."""
        if not self._remembers or length < BLOCK_TOKENS:
            self.drop(slot)
            return
        self.note(slot, length)
        held = self._held[slot]
        self._used -= held.room - whole_blocks(length)
        held.room = whole_blocks(length)
        self._parked[slot] = None
        self._parked_tokens += held.room

    def drop(self, slot: int) -> None:
        """Take back a slot and forget what it holds."""
        held = self._held.pop(slot)
        if slot in self._parked:
            del self._parked[slot]
            self._parked_tokens -= held.room
        self._used -= held.room
        self._trie.cut(slot, 0)
        self._free.give_back(slot)
        self._release(slot, 0)

    def limit(self, capacity: int) -> None:
        """Change the capacity; what is remembered beyond it is forgotten at once."""
        self._capacity = max(capacity, 0) // BLOCK_TOKENS * BLOCK_TOKENS
        self._shrink_parked(self._used - self._capacity)

    def _room(self, tokens: Sequence[int], reserve: int) -> int:
        """Count the tokens that a sequence is admitted with; the reserve ends where the capacity does."""
        return max(whole_blocks(len(tokens)), min(whole_blocks(len(tokens) + reserve), self._capacity))

    def _match(self, owner: str, tokens: Sequence[int]) -> tuple[int | None, int]:
        """Find the slot that shares most with a sequence; of equals, a parked one that would lose least."""
        most = len(tokens) - 1
        slots, shared = self._trie.find(owner, tokens[:most]) if self._remembers else (frozenset(), 0)
        if not slots:
            return None, 0
        lengths = {slot: self._shared(slot, tokens, shared, most) for slot in slots}
        best = max(slots, key=lambda slot: (lengths[slot], slot in self._parked, -self._held[slot].length))
        return best, lengths[best]

    def _shared(self, slot: int, tokens: Sequence[int], known: int, most: int) -> int:
        """Count equal tokens, from those known to be; they end within a block."""
        held = self._held[slot]
        end = min(held.length, most, known + BLOCK_TOKENS)
        return known + shared_length(held.tokens[known:end], tokens[known:end])

    def _takes_over(self, source: int, shared: int, room: int) -> bool:
        """Say whether a sequence moves into a parked slot: little is lost, or there is no other way."""
        held = self._held[source]
        if held.length - shared < BLOCK_TOKENS:
            return True
        others = self._parked_tokens - held.room
        return not (self._free or len(self._parked) > 1) or self._used - others + room > self._capacity

    def _resume(self, slot: int, tokens: Sequence[int], length: int, room: int) -> None:
        """Let a parked slot run again for a sequence that begins alike."""
        held = self._held[slot]
        self._shrink_parked(self._used + room - held.room - self._capacity, keep=slot)
        del self._parked[slot]
        self._parked_tokens -= held.room
        self._used += room - held.room
        self._trie.cut(slot, length)
        if held.room > room:
            self._release(slot, length)
        held.tokens, held.length, held.room = tokens, length, room

    def _empty_slot(self, *, keep: int | None) -> int | None:
        """Take a free slot, or the one parked longest."""
        if not self._free:
            oldest = next((slot for slot in self._parked if slot != keep), None)
            if oldest is None:
                return None
            self.drop(oldest)
        return self._free.take()

    def _shrink_parked(self, tokens: int, *, keep: int | None = None) -> None:
        """Forget so many tokens, from the ends of what was parked longest."""
        while tokens > 0:
            slot = next((slot for slot in self._parked if slot != keep), None)
            if slot is None:
                return
            held = self._held[slot]
            left = held.room - whole_blocks(max(tokens, _TRIM_TOKENS))
            if left <= 0:
                tokens -= held.room
                self.drop(slot)
                continue
            tokens -= held.room - left
            self._used -= held.room - left
            self._parked_tokens -= held.room - left
            held.room = held.length = left
            self._trie.cut(slot, left)
            self._release(slot, left)

    def _copy(self, source: int | None, target: int, length: int) -> int:
        """Copy a prefix; where that fails, nothing is known and all is computed."""
        if source is None:
            return 0
        if source in self._parked:
            self._parked.move_to_end(source)
        try:
            self._model.copy_prefix(source, target, length)
        except Exception as error:  # noqa: BLE001 - a backend may raise anything; computing is always possible
            logger.opt(exception=error).warning("copying {} cached tokens failed", length)
            return 0
        self.note(target, length)
        return length

    def _release(self, slot: int, length: int) -> None:
        try:
            self._model.release(slot, length)
        except Exception as error:  # noqa: BLE001 - a backend may raise anything; the slot is written anew
            logger.opt(exception=error).warning("releasing slot {} failed", slot)


def whole_blocks(tokens: int) -> int:
    """Round up to whole blocks."""
    return -(-tokens // BLOCK_TOKENS) * BLOCK_TOKENS
