"""Inputs of packed products in 16 bits, by operators that round them to 8.

``MatMulNBits`` rounds each block of an input to 127 steps to either side. What it makes of an input is what
it gives for the identity; the remainder is small and loses next to nothing when it is rounded in turn. Both
go through the product as rows of one run, which reads the weights once, and are added up.
"""

import numpy as np

from homeport_onnx.graph_writer import MICROSOFT, GraphWriter
from homeport_onnx.input_blocks import InputBlocks

ROUNDING = 4
"""``accuracy_level`` of products that round their inputs to 8 bits."""
_BITS = 8
_ZERO, _ONE = 128, 129
"""Codes of the numbers 0 and 1, with a scale of 1."""


class FinerInputs:
    """Takes inputs apart, each once for all products that share it.

    Args:
        writer: The graph.
        blocks: Cuts the inputs.
    """

    def __init__(self, writer: GraphWriter, blocks: InputBlocks) -> None:
        self._writer = writer
        self._blocks = blocks
        self._parted: dict[tuple[str, int], str] = {}

    def parted(self, states: str, columns: int, block: int) -> str:
        """Put what rounding takes off an input beside it: [tokens, 2, columns].

        Args:
            states: Name of the input, [tokens, columns].
            columns: Its width.
            block: Columns that the product rounds together.
        """
        key = (states, block)
        if key not in self._parted:
            self._parted[key] = self._part(states, columns, block)
        return self._parted[key]

    def joined(self, product: str) -> str:
        """Add up what a product made of both: [tokens, rows]."""
        axis = self._writer.constant("parts_axis", np.array([1], np.int64))
        return self._writer.node("ReduceSum", [product, axis], keepdims=0)

    def _part(self, states: str, columns: int, block: int) -> str:
        # All dimensions but that of the tokens are known: onnxruntime takes 0.25 ms for each that it must
        # name when it opens a graph of a thousand nodes.
        cut = self._blocks.cut(states, columns, block)
        remainders = self._writer.node("Sub", [cut, self._rounded(cut, block)])
        both = self._writer.node("Concat", [cut, remainders], axis=1)
        return self._writer.reshape(both, [0, 2, columns])

    def _rounded(self, blocks: str, block: int) -> str:
        codes = np.full((block, 1, block), _ZERO, np.uint8)
        codes[np.arange(block), 0, np.arange(block)] = _ONE
        name = f"identity.{block}"
        inputs = [
            blocks,
            self._writer.constant(f"{name}.codes", codes),
            self._writer.constant(f"{name}.scales", np.ones((block, 1), np.float32)),
        ]
        return self._writer.node(
            "MatMulNBits",
            inputs,
            domain=MICROSOFT,
            K=block,
            N=block,
            bits=_BITS,
            block_size=block,
            accuracy_level=ROUNDING,
        )
