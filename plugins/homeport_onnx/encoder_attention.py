"""Attention of an encoder, whose texts see all of themselves, as nodes of a graph."""

from collections.abc import Sequence

import attrs
import numpy as np
import onnx
from onnx import TensorProto, helper

from homeport_onnx.graph_writer import MICROSOFT, GraphWriter

LONG_TEXT_TOKENS = 1024
"""With a mask, onnxruntime 1.31 keeps the scores of all pairs of tokens: 4 GB for 8,192 tokens of 16 heads.
Without, it computes them in parts. Texts so long have a pass of their own, and need no mask."""
_MASKED_SCORE = float(np.finfo(np.float32).min)
"""The operator's own -10,000 could be met by scores of a strange model."""
_OPERATOR = "MultiHeadAttention"


@attrs.frozen(kw_only=True)
class EncoderAttention:
    """What the attention of all layers has in common.

    Attributes:
        writer: The graph.
        heads: Of a layer.
        hidden: Width of the states.
        shape: Name of the shape that tokens are given in, with one more axis: int64 [3].
        mask: Says which tokens are seen: int32 [batch, sequence].
        bias: What is added to scores by distance: [1, heads, sequence, sequence]; empty for nothing.
        is_long_text: Says whether a pass is computed without the mask; empty where none is.
    """

    writer: GraphWriter
    heads: int
    hidden: int
    shape: str
    mask: str
    bias: str
    is_long_text: str

    def add(self, heads: Sequence[str], biases: str) -> str:
        """Add the attention of a layer: [tokens, hidden].

        Args:
            heads: Queries, keys and values, float32 [tokens, hidden].
            biases: Of all three.
        """
        attended = self._attend([*(self._in_rows(states) for states in heads), biases])
        flat = self.writer.reshape(attended, [-1, self.hidden])
        return self.writer.tell(flat, TensorProto.FLOAT, ["tokens", self.hidden])

    def _in_rows(self, states: str) -> str:
        rows = self.writer.node("Reshape", [states, self.shape])
        return self.writer.tell(rows, TensorProto.FLOAT, ["batch", "sequence", self.hidden])

    def _attend(self, inputs: Sequence[str]) -> str:
        masked = [*inputs, self.mask, self.bias]
        if not self.is_long_text:
            return self.writer.node(
                _OPERATOR, masked, domain=MICROSOFT, num_heads=self.heads, mask_filter_value=_MASKED_SCORE
            )
        return self.writer.node(
            "If",
            [self.is_long_text],
            then_branch=self._branch("alone", inputs),
            else_branch=self._branch("masked", masked),
        )

    def _branch(self, name: str, inputs: Sequence[str]) -> onnx.GraphProto:
        attended = helper.make_tensor_value_info(
            f"attended_{name}", TensorProto.FLOAT, ["batch", "sequence", self.hidden]
        )
        node = helper.make_node(
            _OPERATOR,
            list(inputs),
            [attended.name],
            domain=MICROSOFT,
            num_heads=self.heads,
            mask_filter_value=_MASKED_SCORE,
        )
        return helper.make_graph([node], name, [], [attended])
