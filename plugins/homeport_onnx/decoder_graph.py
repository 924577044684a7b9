"""The graph of a decoder, written from its stored weights.

Two forms. The *engine* form is for this backend: every row of a run says how long it is, and which tokens
want logits. The *portable* form is that of onnxruntime-genai: a mask, and logits behind every token.
"""

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from homeport.checkpoint import Activation, DecoderShape, DecoderTensors, LayerTensors, Part
from homeport_onnx.attention_nodes import CACHE, Attention
from homeport_onnx.graph_writer import MICROSOFT, GraphWriter
from homeport_onnx.head_layout import HeadLayout
from homeport_onnx.matrix_products import Matrix, Products, present
from homeport_onnx.rotary_caches import RotaryCaches, Run


@attrs.frozen(kw_only=True)
class States:
    """States between two parts of a layer, whose last addition is left to the next norm.

    Attributes:
        sum: Name of what has been added up, [tokens, hidden].
        added: Name of what is to be added to it; empty for nothing.
    """

    sum: str
    added: str = ""


class DecoderGraph:
    """Builds the graph of one decoder.

    Args:
        shape: What it is made of.
        writer: Where it goes.
        products: Its matrices.
        is_portable: Take a mask and give all logits, as onnxruntime-genai wants it.
    """

    def __init__(
        self, shape: DecoderShape, writer: GraphWriter, products: Products, *, is_portable: bool
    ) -> None:
        self._shape = shape
        self._tensors = DecoderTensors(shape)
        self._writer = writer
        self._products = products
        self._is_portable = is_portable
        self._layout = HeadLayout(head_dim=shape.head_dim, rotary_dim=shape.rotary_dim)

    def add(self) -> None:
        """Put inputs, layers and outputs into the writer."""
        ids = self._writer.take("input_ids", TensorProto.INT64, ["batch", "sequence"])
        lengths, total = self._masked_lengths() if self._is_portable else self._lengths()
        run = Run(ids=ids, shape=self._writer.shape_of_rows(ids), lengths=lengths, total=total, cache=CACHE)
        attention = self._attention(run)
        wanted = self._wanted()
        states = States(sum=self._embedded(ids))
        last = len(self._shape.layers) - 1
        for index in range(last):
            states = self._layer(index, attention, states)
        self._give_logits(self._layer(last, attention, states, wanted), run)

    def _layer(self, index: int, attention: Attention, states: States, wanted: str = "") -> States:
        """Add a layer; where only some tokens are wanted behind it, it forgets the others on its way."""
        layer = self._tensors.layer(index)
        states, normed = self._normed(states, layer.attention_norm)
        attended, total = attention.attend(index, normed), states.sum
        if wanted:
            attended, total = (self._chosen(name, wanted) for name in (attended, total))
        projected = attention.project(index, attended)
        states = States(sum=total, added=self._post_normed(projected, layer.attention_post_norm))
        states, normed = self._normed(states, layer.mlp_norm)
        made = self._fed_forward(layer, f"model.layers.{index}.mlp", normed)
        return States(sum=states.sum, added=self._post_normed(made, layer.mlp_post_norm))

    def _chosen(self, states: str, wanted: str) -> str:
        """Take the states of some tokens: [wanted, hidden]."""
        return self._writer.node("Gather", [states, wanted], axis=0)

    def _attention(self, run: Run) -> Attention:
        caches = RotaryCaches(
            writer=self._writer, layout=self._layout, length=self._shape.context_length, run=run
        )
        return Attention(
            shape=self._shape,
            layout=self._layout,
            writer=self._writer,
            products=self._products,
            run=run,
            caches=[
                caches.store(f"rotary.{index}", rotary) for index, rotary in enumerate(self._shape.rotaries)
            ],
        )

    def _lengths(self) -> tuple[str, str]:
        return (
            self._writer.take("seqlens_k", TensorProto.INT32, ["batch"]),
            self._writer.take("total_sequence_length", TensorProto.INT32, []),
        )

    def _masked_lengths(self) -> tuple[str, str]:
        writer = self._writer
        mask = writer.take("attention_mask", TensorProto.INT64, ["batch", "total"])
        axis = writer.constant("columns", np.array([1], np.int64))
        one = writer.constant("one", np.array(1, np.int64))
        tokens = writer.node("ReduceSum", [mask, axis], keepdims=0)
        lengths = writer.node("Cast", [writer.node("Sub", [tokens, one])], to=TensorProto.INT32)
        width = writer.node("Gather", [writer.node("Shape", [mask]), one])
        return lengths, writer.node("Cast", [width], to=TensorProto.INT32)

    def _wanted(self) -> str:
        if self._is_portable:
            return ""
        return self._writer.take("logits_at", TensorProto.INT64, ["wanted"])

    def _embedded(self, ids: str) -> str:
        rows = self._products.embed(self._tensors.embedding, ids)
        embedded = self._writer.reshape(rows, [-1, self._shape.hidden])
        self._writer.tell(embedded, TensorProto.FLOAT, ["tokens", self._shape.hidden])
        if self._shape.embedding_scale == 1:
            return embedded
        scale = self._writer.constant("embedding_scale", np.array(self._shape.embedding_scale, np.float32))
        return self._writer.node("Mul", [embedded, scale])

    def _normed(self, states: States, norm: Part) -> tuple[States, str]:
        """Add what is left to be added, and normalise."""
        weights, epsilon = self._norm_weights(norm), self._shape.norm_epsilon
        if not states.added:
            normed = self._writer.node("RMSNormalization", [states.sum, weights], axis=-1, epsilon=epsilon)
            return states, normed
        total = f"{norm.name}.sum"
        normed = self._writer.node(
            "SkipSimplifiedLayerNormalization",
            [states.sum, states.added, weights],
            outputs=[f"{norm.name}.normed", "", "", total],
            domain=MICROSOFT,
            epsilon=epsilon,
        )
        return States(sum=total), normed

    def _post_normed(self, added: str, norm: Part | None) -> str:
        if norm is None:
            return added
        weights = self._norm_weights(norm)
        return self._writer.node(
            "RMSNormalization", [added, weights], axis=-1, epsilon=self._shape.norm_epsilon
        )

    def _norm_weights(self, norm: Part) -> str:
        values = self._products.read(norm) + np.float32(self._shape.norm_offset)
        return self._products.vector(norm, values)

    def _fed_forward(self, layer: LayerTensors, name: str, normed: str) -> str:
        gate, up = self._gated(layer, name, normed)
        bent = self._writer.node("Mul", [self._bent(gate), up])
        return self._multiplied(bent, f"{name}.down", layer.down, layer.down_bias)

    def _gated(self, layer: LayerTensors, name: str, normed: str) -> Sequence[str]:
        """Make gate and up, in one product where they can be one matrix."""
        parts, biases = (layer.gate, layer.up), (layer.gate_bias, layer.up_bias)
        if not self._products.can_join(parts):
            names = (f"{name}.gate", f"{name}.up")
            return [self._multiplied(normed, *one) for one in zip(names, parts, biases, strict=True)]
        joined = Matrix(name=f"{name}.gate_up", parts=parts, biases=present(*biases))
        halves = [f"{joined.name}.{half}" for half in ("gate", "up")]
        both = self._products.multiply(normed, joined)
        self._writer.node("Split", [both], outputs=halves, axis=1, num_outputs=len(halves))
        return halves

    def _bent(self, gate: str) -> str:
        if self._shape.activation is Activation.SILU:
            return self._writer.node("QuickGelu", [gate], domain=MICROSOFT, alpha=1.0)
        return self._writer.node("FastGelu", [gate], domain=MICROSOFT)

    def _multiplied(self, states: str, name: str, part: Part, bias: Part | None) -> str:
        return self._products.multiply(states, Matrix(name=name, parts=(part,), biases=present(bias)))

    def _give_logits(self, states: States, run: Run) -> None:
        _, normed = self._normed(states, self._tensors.norm)
        head = self._tensors.head
        logits = self._capped(
            self._products.multiply(normed, Matrix(name=head.name, parts=(head,), is_outer=True))
        )
        if self._is_portable:
            self._writer.node("Reshape", [logits, run.shape], outputs=["logits"])
        else:
            self._writer.node("Identity", [logits], outputs=["logits"])
        rows = ["batch", "sequence"] if self._is_portable else ["wanted"]
        self._writer.give("logits", TensorProto.FLOAT, [*rows, self._shape.vocabulary])

    def _capped(self, logits: str) -> str:
        if not self._shape.logit_softcap:
            return logits
        cap = self._writer.constant("logit_cap", _number(self._shape.logit_softcap))
        bounded = self._writer.node("Tanh", [self._writer.node("Div", [logits, cap])])
        return self._writer.node("Mul", [bounded, cap])


def _number(value: float) -> NDArray[np.float32]:
    return np.array(value, np.float32)
