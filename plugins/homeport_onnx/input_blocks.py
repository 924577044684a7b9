"""Inputs of packed products, cut into the blocks that their weights are packed in."""

import numpy as np

from homeport_onnx.graph_writer import GraphWriter


class InputBlocks:
    """Cuts each input once for all products that share it.

    Args:
        writer: The graph.
    """

    def __init__(self, writer: GraphWriter) -> None:
        self._writer = writer
        self._cut: dict[tuple[str, int], str] = {}
        self._sums: dict[tuple[str, int], str] = {}

    def cut(self, states: str, columns: int, block: int) -> str:
        """Cut an input: [tokens, 1, columns / block, block].

        Args:
            states: Name of the input, [tokens, columns].
            columns: Its width.
            block: Columns that share a scale.
        """
        key = (states, block)
        if key not in self._cut:
            self._cut[key] = self._writer.reshape(states, [0, 1, columns // block, block])
        return self._cut[key]

    def sums(self, states: str, columns: int, block: int) -> str:
        """Add up each block of an input: [tokens, columns / block]."""
        key = (states, block)
        if key not in self._sums:
            axes = self._writer.constant("block_axes", np.array([1, 3], np.int64))
            cut = self.cut(states, columns, block)
            self._sums[key] = self._writer.node("ReduceSum", [cut, axes], keepdims=0)
        return self._sums[key]
