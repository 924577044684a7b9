"""Attention of one layer as nodes: queries, keys and values, their norms, and what becomes of them."""

from collections.abc import Sequence

import attrs
import numpy as np
from onnx import TensorProto

from homeport.checkpoint import NO_ROTARY, DecoderShape, DecoderTensors, LayerTensors, Part
from homeport_onnx.graph_writer import MICROSOFT, GraphWriter
from homeport_onnx.head_layout import HeadLayout
from homeport_onnx.matrix_products import Matrix, Products, present
from homeport_onnx.rotary_caches import RotaryCache, Run

CACHE = "past_key_values.0.key"
"""The keys of the first layer, an input of every graph."""
_NO_WINDOW = -1


@attrs.frozen(kw_only=True)
class Attention:
    """Puts the attention of each layer into a graph.

    Attributes:
        shape: What the decoder is made of.
        layout: Of its heads.
        writer: The graph.
        products: Its matrices.
        run: What it is given.
        caches: The rotary tables.
    """

    shape: DecoderShape
    layout: HeadLayout
    writer: GraphWriter
    products: Products
    run: Run
    caches: Sequence[RotaryCache]

    def attend(self, index: int, states: str) -> str:
        """Attend with the heads of a layer; takes and names [tokens, heads * components]."""
        layer = DecoderTensors(self.shape).layer(index)
        queries, keys, values = self._projected(index, layer, states)
        own, rotary = self.shape.layers[index], self.shape.layers[index].rotary
        cache = None if rotary == NO_ROTARY else self.caches[rotary]
        past = [self._take(f"past_key_values.{index}.{kind}") for kind in ("key", "value")]
        turning = [] if cache is None else [cache.cosines, cache.sines, cache.rows]
        attended = f"model.layers.{index}.attended"
        self.writer.node(
            "GroupQueryAttention",
            [queries, keys, values, *past, self.run.lengths, self.run.total, *turning],
            outputs=[attended, *(self._give(f"present.{index}.{kind}") for kind in ("key", "value"))],
            domain=MICROSOFT,
            num_heads=self.shape.heads,
            kv_num_heads=self.shape.kv_heads,
            scale=self.shape.attention_scale,
            softcap=self.shape.attention_softcap,
            local_window_size=own.window or _NO_WINDOW,
            do_rotary=int(cache is not None),
            rotary_interleaved=0,
        )
        width = self.shape.heads * self.layout.size
        flat = self.writer.reshape(attended, [-1, width])
        return self.writer.tell(flat, TensorProto.FLOAT, ["tokens", width])

    def project(self, index: int, attended: str) -> str:
        """Bring what heads have gathered back to states."""
        layer = DecoderTensors(self.shape).layer(index)
        matrix = Matrix(
            name=f"model.layers.{index}.attention.output",
            parts=(layer.output,),
            biases=present(layer.output_bias),
            cols=self.layout.padding,
        )
        return self.products.multiply(attended, matrix)

    def _projected(self, index: int, layer: LayerTensors, states: str) -> Sequence[str]:
        parts = (layer.query, layer.key, layer.value)
        biases = (layer.query_bias, layer.key_bias, layer.value_bias)
        name = f"model.layers.{index}.attention"
        if not self.shape.qk_norm and self.products.can_join(parts):
            joined = Matrix(
                name=f"{name}.qkv", parts=parts, biases=present(*biases), rows=self.layout.padding
            )
            return self._in_rows(self.products.multiply(states, joined), joined.shape[0]), "", ""
        norms = (layer.query_norm, layer.key_norm, None)
        names = (f"{name}.query", f"{name}.key", f"{name}.value")
        matrices = [
            Matrix(name=own, parts=(part,), biases=present(bias), rows=self.layout.padding)
            for own, part, bias in zip(names, parts, biases, strict=True)
        ]
        return [self._heads(states, *pair) for pair in zip(matrices, norms, strict=True)]

    def _heads(self, states: str, matrix: Matrix, norm: Part | None) -> str:
        """Make the queries, keys or values of all heads, and normalise each by itself."""
        heads, width = self.products.multiply(states, matrix), matrix.shape[0]
        if norm is not None:
            values = self.products.read(norm) + np.float32(self.shape.norm_offset)
            weights = self.products.vector(norm, self.layout.norm_weights(values))
            epsilon = self.layout.norm_epsilon(self.shape.norm_epsilon)
            apart = self.writer.reshape(heads, [0, width // self.layout.size, self.layout.size])
            heads = self.writer.node("RMSNormalization", [apart, weights], axis=-1, epsilon=epsilon)
        return self._in_rows(heads, width)

    def _in_rows(self, heads: str, width: int) -> str:
        """Bring heads into the shape that tokens were given in: [batch, sequence, heads * components]."""
        rows = self.writer.node("Reshape", [heads, self.run.shape])
        return self.writer.tell(rows, TensorProto.FLOAT, ["batch", "sequence", width])

    def _take(self, name: str) -> str:
        return self.writer.take(name, TensorProto.FLOAT, self._cache_dims)

    def _give(self, name: str) -> str:
        self.writer.give(name, TensorProto.FLOAT, self._cache_dims)
        return name

    @property
    def _cache_dims(self) -> list[str | int]:
        return ["batch", self.shape.kv_heads, "length", self.layout.size]
