"""The graph of an encoder, written from its stored weights.

Its attention, norms and activations are onnxruntime's fused operators:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md. Padding on the right of a text
changes none of its states by a single bit (onnxruntime 1.31, CPU).
"""

from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from homeport import BuildPlan, BuildProgress
from homeport.checkpoint import Affine, Checkpoint, EncoderActivation, EncoderShape, EncoderTensors, Part
from homeport_onnx.encoder_attention import LONG_TEXT_TOKENS, EncoderAttention
from homeport_onnx.graph_writer import MICROSOFT, GraphWriter, TensorSpec
from homeport_onnx.matrix_products import Matrix, Products
from homeport_onnx.stored_weights import StoredWeights
from homeport_onnx.weight_choice import WeightChoice

IDS, MASK, STATES = "input_ids", "attention_mask", "last_hidden_state"
"""Inputs and output."""
_AXES = ("batch", "sequence")

_BYTE_BITS = 8

Floats = NDArray[np.float32]


def write_encoder(
    checkpoint: Checkpoint,
    into: Path,
    choice: WeightChoice,
    *,
    plan: BuildPlan,
    progress: BuildProgress,
) -> float:
    """Write model.onnx and model.onnx.data.

    Inputs are ``input_ids`` and ``attention_mask``, int64 [batch, sequence]; the output is
    ``last_hidden_state``, float32 [batch, sequence, hidden].

    Args:
        checkpoint: A model that ``why_not_encoder`` and ``EncoderTensors.strange`` have nothing against.
        into: Where to.
        choice: The form of its matrices.
        plan: What it may use.
        progress: Told how far it is.

    Returns:
        Bits per weight, of those that are stored as they were or packed.

    Raises:
        LoadError: A tensor is missing or has another shape than config.json says.
        PullError: It takes more room, or holds numbers that cannot be packed.
    """
    shape = EncoderShape.read(checkpoint.config)
    tensors = EncoderTensors.find(checkpoint, shape)
    tensors.check(checkpoint)
    writer, stored = GraphWriter(shape.model_type), StoredWeights(checkpoint)
    graph = _EncoderGraph(
        writer=writer,
        shape=shape,
        tensors=tensors,
        stored=stored,
        products=Products(writer, stored, choice, threads=plan.threads),
    )
    graph.add()
    writer.write(into, room_bytes=plan.room_bytes, progress=progress)
    return _BYTE_BITS * graph.products.stored_bytes / graph.products.weight_count


@attrs.frozen(kw_only=True)
class _EncoderGraph:
    writer: GraphWriter
    shape: EncoderShape
    tensors: EncoderTensors
    stored: StoredWeights
    products: Products

    def add(self) -> None:
        for name in (IDS, MASK):
            self.writer.take(name, TensorProto.INT64, _AXES)
        self.writer.give(STATES, TensorProto.FLOAT, (*_AXES, self.shape.hidden))
        attention = self._attention()
        states = self._embeddings()
        for index in range(self.shape.layers):
            states = self._layer(index, states, attention)
        self.writer.node("Reshape", [states, attention.shape], outputs=[STATES])

    def _embeddings(self) -> str:
        words = self.products.embed(self.tensors.words, IDS)
        states = self.writer.node("Add", [words, self._positions()])
        norm = self.tensors.norm
        names = [states, self._vector(norm.weight), self._vector(norm.bias)]
        normed = self.writer.node("LayerNormalization", names, epsilon=self.shape.norm_epsilon)
        flat = self.writer.reshape(normed, [-1, self.shape.hidden])
        return self.writer.tell(flat, TensorProto.FLOAT, ["tokens", self.shape.hidden])

    def _positions(self) -> str:
        """Rows for all places; the embedding of the first text's tokens, which all are, is added to them."""
        table = self.stored.rows(self.tensors.positions, 0, self.shape.positions)
        if self.tensors.token_types is not None:
            table = table + self.stored.rows(self.tensors.token_types, 0, 1)
        name = self._array("positions", table)
        if not self.shape.skips_padding:
            return self.writer.node(
                "Slice", [name, self._ints("zero", 0), self._length(), self._ints("zero", 0)]
            )
        padding = self.writer.constant("padding", np.array(self.shape.padding_id, np.int64))
        is_padding = self.writer.node("Equal", [IDS, padding])
        is_token = self.writer.node("Cast", [self.writer.node("Not", [is_padding])], to=TensorProto.INT64)
        counted = self.writer.node("CumSum", [is_token, self.writer.constant("one", np.array(1, np.int64))])
        places = self.writer.node("Add", [self.writer.node("Mul", [counted, is_token]), padding])
        return self.writer.node("Gather", [name, places])

    def _distance_bias(self) -> str:
        """What attention adds by distance: [1, heads, sequence, sequence]; empty where there is no table."""
        if self.tensors.distances is None:
            return ""
        by_bucket = self.stored.rows(self.tensors.distances, 0, self.shape.relative_buckets)
        table = self._array("distances", by_bucket.T[:, self.shape.distance_buckets()])
        length = self.writer.node("Squeeze", [self._length()])
        zero, one, nearest = (
            self.writer.constant(f"scalar_{value}", np.array(value, np.int64))
            for value in (0, 1, self.shape.context_length - 1)
        )
        places = self.writer.node("Range", [zero, length, one])
        rows = self.writer.node("Unsqueeze", [places, self._ints("one_axis", 1)])
        ahead = self.writer.node("Add", [self.writer.node("Sub", [places, rows]), nearest])
        bias = self.writer.node("Gather", [table, ahead], axis=1)
        return self.writer.node("Unsqueeze", [bias, self._ints("zero", 0)])

    def _attention(self) -> EncoderAttention:
        return EncoderAttention(
            writer=self.writer,
            heads=self.shape.heads,
            hidden=self.shape.hidden,
            shape=self.writer.shape_of_rows(IDS),
            mask=self.writer.node("Cast", [MASK], to=TensorProto.INT32),
            bias=self._distance_bias(),
            is_long_text=self._is_long_text() if self.shape.context_length > LONG_TEXT_TOKENS else "",
        )

    def _is_long_text(self) -> str:
        """Whether all texts of a pass are as long as the longest, and that is long: a boolean."""
        one, long = (
            self.writer.constant(name, np.array(value, np.int64))
            for name, value in (("one", 1), ("long_text", LONG_TEXT_TOKENS))
        )
        is_full = self.writer.node("Equal", [self.writer.node("ReduceMin", [MASK], keepdims=0), one])
        is_long = self.writer.node("Greater", [self.writer.node("Squeeze", [self._length()]), long])
        return self.writer.node("And", [is_full, is_long])

    def _layer(self, index: int, states: str, attention: EncoderAttention) -> str:
        stored = self.tensors.layer(index)
        heads = [self._product(states, part.weight) for part in (stored.query, stored.key, stored.value)]
        added = np.concatenate([self._read(part.bias) for part in (stored.query, stored.key, stored.value)])
        attended = attention.add(heads, self._array(f"{stored.query.bias.name}.all", added))
        states = self._added(attended, states, stored.output, stored.attention_norm)
        inner = self._bent(self._product(states, stored.inner.weight), stored.inner.bias)
        return self._added(inner, states, stored.outer, stored.output_norm)

    def _added(self, states: str, before: str, product: Affine, norm: Affine) -> str:
        """Multiply, add what was before, and normalise."""
        parts = (norm.weight, norm.bias, product.bias)
        return self.writer.node(
            "SkipLayerNormalization",
            [self._product(states, product.weight), before, *(self._vector(part) for part in parts)],
            domain=MICROSOFT,
            epsilon=self.shape.norm_epsilon,
        )

    def _bent(self, states: str, bias: Part) -> str:
        added = self._vector(bias)
        if self.shape.activation is EncoderActivation.RELU:
            return self.writer.node("Relu", [self.writer.node("Add", [states, added])])
        is_exact = self.shape.activation is EncoderActivation.GELU
        return self.writer.node("BiasGelu" if is_exact else "FastGelu", [states, added], domain=MICROSOFT)

    def _product(self, states: str, part: Part) -> str:
        return self.products.multiply(states, Matrix(name=part.name, parts=(part,)))

    def _vector(self, part: Part) -> str:
        return self.products.vector(part, self._read(part))

    def _array(self, name: str, values: Floats) -> str:
        spec = TensorSpec(name=name, dtype=np.float32, shape=values.shape)
        self.writer.weights([spec], lambda: [(values,)])
        return name

    def _read(self, part: Part) -> Floats:
        return self.stored.rows(part, 0, part.rows)

    def _length(self) -> str:
        return self.writer.node("Shape", [IDS], start=1, end=2)

    def _ints(self, name: str, *values: int) -> str:
        return self.writer.constant(name, np.array(values, np.int64))
