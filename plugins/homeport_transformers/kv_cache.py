"""Keys and values of all slots, in memory that becomes real as it is written."""

import attrs
import torch

from homeport.checkpoint import CacheMemory


@attrs.frozen(kw_only=True)
class KvShape:
    """Sizes of a cache.

    Attributes:
        slots: Sequences with a place.
        context_length: Tokens per slot.
    """

    layers: int
    slots: int
    kv_heads: int
    context_length: int
    head_dim: int
    dtype: torch.dtype

    @property
    def bytes_per_token(self) -> int:
        """Keys and values of one token of one sequence in all layers."""
        return self.layers * 2 * self.kv_heads * self.head_dim * self.dtype.itemsize


class KvCache:
    """One block of memory: [layer, slot, keys then values of each head, position, component].

    ``torch.zeros`` would touch all of it, ``torch.empty`` could hold NaN, which a masked softmax passes on.

    Args:
        shape: Its sizes.

    Raises:
        LoadError: The system refuses that much memory.
    """

    def __init__(self, shape: KvShape) -> None:
        self.shape = shape
        size = shape.bytes_per_token * shape.slots * shape.context_length
        heads = 2 * shape.kv_heads
        self._memory = CacheMemory(size, slots=shape.slots, length=shape.context_length)
        self._states = torch.frombuffer(self._memory.buffer, dtype=shape.dtype).view(
            shape.layers, shape.slots, heads, shape.context_length, shape.head_dim
        )
        self._vectors = self._states.view(shape.layers, -1, shape.head_dim)

    def places(self, slots: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Where the vectors of some tokens lie within a layer, for ``write``.

        Args:
            slots: int64 [tokens].
            positions: int64 [tokens].

        Returns:
            int64 [tokens * 2 * kv_heads].
        """
        heads = torch.arange(2 * self.shape.kv_heads)
        rows = (slots * len(heads)).unsqueeze(1) + heads
        return (rows * self.shape.context_length + positions.unsqueeze(1)).flatten()

    def write(self, layer: int, places: torch.Tensor, states: torch.Tensor) -> None:
        """Store keys and values: [tokens, 2 * kv_heads, head_dim]."""
        self._vectors[layer].index_copy_(0, places, states.reshape(-1, self.shape.head_dim))

    def read(self, layer: int, slots: slice, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """View the first tokens of neighbouring slots: two of [slots, kv_heads, length, head_dim]."""
        states = self._states[layer, slots, :, :length]
        return states[:, : self.shape.kv_heads], states[:, self.shape.kv_heads :]

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Copy the first tokens of one slot to another, in all layers."""
        self._states[:, target, :, :length] = self._states[:, source, :, :length]

    def release(self, slot: int, length: int) -> None:
        """Give the pages behind the first tokens of a slot back to the system; they read as zero again."""
        token_bytes = self.shape.head_dim * self.shape.dtype.itemsize
        head_bytes = self.shape.context_length * token_bytes
        slot_bytes = 2 * self.shape.kv_heads * head_bytes
        span_bytes = head_bytes if length else slot_bytes
        for layer in range(self.shape.layers):
            begin = (layer * self.shape.slots + slot) * slot_bytes
            for head in range(begin, begin + slot_bytes, span_bytes):
                self._memory.release(head + length * token_bytes, head + span_bytes)
