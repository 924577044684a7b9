"""Tables of sines and cosines, as ``GroupQueryAttention`` looks them up."""

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from homeport.checkpoint import LongRope, Rotary
from homeport_onnx.graph_writer import GraphWriter, TensorSpec
from homeport_onnx.head_layout import HeadLayout

_POSITIONS_AT_ONCE = 4096

Rows = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Cosines and sines of some positions."""


@attrs.frozen(kw_only=True)
class RotaryCache:
    """One table in the graph.

    Attributes:
        cosines: Name of the cosines, [positions, turning / 2].
        sines: Name of the sines.
        rows: Name of the rows to take, int64 [batch, sequence]; empty where they are the positions.
    """

    cosines: str
    sines: str
    rows: str


@attrs.frozen(kw_only=True)
class Run:
    """What a graph knows of the tokens that it is given.

    Attributes:
        ids: Name of the tokens, int64 [batch, sequence].
        shape: Name of the shape that they are given in, with one more axis: int64 [3].
        lengths: Name of each row's length behind them, less 1: int32 [batch].
        total: Name of the longest row's length behind them: int32 [].
        cache: Name of a tensor of keys: [batch, heads, capacity, components].
    """

    ids: str
    shape: str
    lengths: str
    total: str
    cache: str


@attrs.frozen(kw_only=True)
class RotaryCaches:
    """Puts rotary tables into a graph.

    ``longrope`` has two, for short texts and for long ones, which lie one behind the other. A cache keeps one
    way, chosen by what a sequence has room for in it, so that it never changes under way; where the cache
    grows with its sequence, by the sequence.

    Attributes:
        writer: The graph.
        layout: Of heads.
        length: The longest context, in tokens: positions of a table.
        run: What rows are computed from.
    """

    writer: GraphWriter
    layout: HeadLayout
    length: int
    run: Run

    def store(self, name: str, rotary: Rotary) -> RotaryCache:
        """Put a table into the graph."""
        short = self._short_length(rotary)
        names = f"{name}.cosines", f"{name}.sines"
        shape = short + self.length, self.layout.turning // 2

        def blocks() -> Iterator[Rows]:
            yield from self._rows(rotary, short)
            yield from self._rows(rotary, self.length)

        self.writer.weights([TensorSpec(name=part, dtype=np.float32, shape=shape) for part in names], blocks)
        rows = self._chosen_rows(name, short) if short else ""
        return RotaryCache(cosines=names[0], sines=names[1], rows=rows)

    def _short_length(self, rotary: Rotary) -> int:
        """Give the length of a table for short texts; 0 where there is one for all."""
        if isinstance(rotary.scaling, LongRope) and rotary.scaling.is_long(self.length):
            return int(rotary.scaling.original_length)
        return 0

    def _rows(self, rotary: Rotary, length: int) -> Iterator[Rows]:
        frequencies, magnitude = rotary.frequencies(length), np.float32(rotary.scaling.magnitude)
        for begin in range(0, length, _POSITIONS_AT_ONCE):
            positions = np.arange(begin, min(begin + _POSITIONS_AT_ONCE, length), dtype=np.float32)
            angles = np.outer(positions, frequencies)
            cosines, sines = np.cos(angles) * magnitude, np.sin(angles) * magnitude
            yield self.layout.fill_table(cosines), self.layout.fill_table(sines)

    def _chosen_rows(self, name: str, short: int) -> str:
        """Compute positions, moved behind the short table where the long one is due."""
        node, number = self.writer.node, self._number
        room = node("Gather", [node("Shape", [self.run.cache]), number("two", 2)])
        total = node("Cast", [self.run.total], to=TensorProto.INT64)
        is_long = node("Greater", [node("Max", [room, total]), number(f"{name}.short", short)])
        shift = node("Where", [is_long, number(f"{name}.short", short), number("zero", 0)])
        count = node("Gather", [node("Shape", [self.run.ids]), number("one", 1)])
        lasts = node("Add", [node("Cast", [self.run.lengths], to=TensorProto.INT64), shift])
        ends = node("Add", [lasts, number("one", 1)])
        axis = self.writer.constant("columns", np.array([1], np.int64))
        begins = node("Unsqueeze", [node("Sub", [ends, count]), axis])
        return node("Add", [begins, node("Range", [number("zero", 0), count, number("one", 1)])])

    def _number(self, name: str, value: int) -> str:
        return self.writer.constant(name, np.array(value, np.int64))
