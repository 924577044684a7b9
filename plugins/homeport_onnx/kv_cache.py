"""Keys and values of all sequences, in memory that onnxruntime reads and writes where it lies."""

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from homeport.checkpoint import CacheMemory


@attrs.frozen(kw_only=True)
class CacheShape:
    """Sizes of a cache.

    Attributes:
        layers: Each has a tensor of keys and one of values.
        lanes: Places for sequences.
        kv_heads: Key heads, and value heads, of a layer.
        length: Tokens that a lane holds.
        head_dim: Components of a head.
        dtype: Of a component.
    """

    layers: int
    lanes: int
    kv_heads: int
    length: int
    head_dim: int
    dtype: np.dtype[np.generic]

    @property
    def bytes_per_token(self) -> int:
        """Keys and values of one token of one sequence in all layers."""
        return self.layers * 2 * self.kv_heads * self.head_dim * self.dtype.itemsize

    @property
    def head_bytes(self) -> int:
        """One head of one lane in one tensor."""
        return self.length * self.head_dim * self.dtype.itemsize

    @property
    def lane_bytes(self) -> int:
        """One lane of one tensor."""
        return self.kv_heads * self.head_bytes


class SharedCache:
    """One block of memory: [layer, keys or values, lane, head, position, component].

    Neighbouring lanes of a layer are the tensor ``[rows, kv_heads, length, head_dim]`` that a graph takes as
    its past and, at the same address, gives as its present: only new tokens are written.

    Args:
        shape: Its sizes.

    Raises:
        LoadError: The system refuses that much memory.
    """

    def __init__(self, shape: CacheShape) -> None:
        self.shape = shape
        size = shape.bytes_per_token * shape.lanes * shape.length
        self._memory = CacheMemory(size, slots=shape.lanes, length=shape.length)
        self._states: NDArray[np.generic] = np.frombuffer(self._memory.buffer, shape.dtype).reshape(
            2 * shape.layers, shape.lanes, shape.kv_heads, shape.length, shape.head_dim
        )

    def addresses(self, lane: int) -> Iterator[tuple[int, int]]:
        """Say where a lane begins: an address for the keys and one for the values of each layer."""
        tensor_bytes = self.shape.lanes * self.shape.lane_bytes
        first = self._states.ctypes.data + lane * self.shape.lane_bytes
        for layer in range(self.shape.layers):
            keys = first + 2 * layer * tensor_bytes
            yield keys, keys + tensor_bytes

    def read(self, lane: int, length: int) -> NDArray[np.generic]:
        """View the first tokens of a lane: [keys and values by layer, kv_heads, length, head_dim]."""
        return self._states[:, lane, :, :length]

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first tokens of a lane to another."""
        self._states[:, target, :, :length] = self._states[:, source, :, :length]

    def exchange(self, one: int, other: int, lengths: tuple[int, int]) -> None:
        """Exchange the first tokens of two lanes, and give back the memory of what stays empty.

        Args:
            one: A lane.
            other: Another.
            lengths: How many tokens each of them holds.
        """
        held_by_one, held_by_other = lengths
        for tensor in self._states if held_by_one or held_by_other else ():
            kept = tensor[one, :, :held_by_one].copy()
            tensor[one, :, :held_by_other] = tensor[other, :, :held_by_other]
            tensor[other, :, :held_by_one] = kept
        if held_by_other < held_by_one:
            self.release(one, held_by_other)
        elif held_by_one < held_by_other:
            self.release(other, held_by_one)

    def release(self, lane: int, length: int) -> None:
        """Give the pages behind the first tokens of a lane back to the system; they read as zero again."""
        shape = self.shape
        span_bytes = shape.head_bytes if length else shape.lane_bytes
        kept_bytes = length * shape.head_dim * shape.dtype.itemsize
        for tensor in range(2 * shape.layers):
            begin = (tensor * shape.lanes + lane) * shape.lane_bytes
            for head in range(begin, begin + shape.lane_bytes, span_bytes):
                self._memory.release(head + kept_bytes, head + span_bytes)
