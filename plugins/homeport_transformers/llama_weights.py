"""The tensors of a Llama-shaped checkpoint, and the layers built from them."""

import re
from collections.abc import Iterator
from typing import Self

import attrs
import torch

from homeport_transformers.checkpoint import Checkpoint, TensorReader
from homeport_transformers.linear import Linear
from homeport_transformers.llama_shape import LlamaShape
from homeport_transformers.rotary import interleave_halves

_EMBEDDING = "model.embed_tokens.weight"
_NORM = "model.norm.weight"
_OUTPUT = "lm_head.weight"
_LAYER = re.compile(r"model\.layers\.(?P<index>\d+)\.(?P<part>.+)")
_ROTARY_BUFFER = "self_attn.rotary_emb.inv_freq"
"""Old checkpoints carry it; it follows from config.json."""
_FLOATS = frozenset({"F32", "F16", "BF16"})


def strange_tensor(checkpoint: Checkpoint, shape: LlamaShape) -> str | None:
    """Name a stored tensor that the lean forward pass would not use as it is meant, or return None."""
    parts = {*_layer_sizes(shape), _ROTARY_BUFFER}
    for name, tensor in checkpoint.tensors.items():
        layer = _LAYER.fullmatch(name)
        if layer is None:
            known = name in {_EMBEDDING, _NORM, _OUTPUT}
        else:
            known = int(layer["index"]) < shape.layers and layer["part"] in parts
        if not known or tensor.dtype not in _FLOATS:
            return name
    return None


def _sizes(shape: LlamaShape) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield _EMBEDDING, (shape.vocabulary_size, shape.hidden_size)
    yield _NORM, (shape.hidden_size,)
    if not shape.tied:
        yield _OUTPUT, (shape.vocabulary_size, shape.hidden_size)
    layer = _layer_sizes(shape)
    for index in range(shape.layers):
        for part, size in layer.items():
            yield f"model.layers.{index}.{part}", size


def _layer_sizes(shape: LlamaShape) -> dict[str, tuple[int, ...]]:
    hidden, mlp = shape.hidden_size, shape.mlp_size
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    products = {
        "self_attn.q_proj": (queries, hidden, shape.qkv_bias),
        "self_attn.k_proj": (keys, hidden, shape.qkv_bias),
        "self_attn.v_proj": (keys, hidden, shape.qkv_bias),
        "self_attn.o_proj": (hidden, queries, shape.output_bias),
        "mlp.gate_proj": (mlp, hidden, shape.mlp_bias),
        "mlp.up_proj": (mlp, hidden, shape.mlp_bias),
        "mlp.down_proj": (hidden, mlp, shape.mlp_bias),
    }
    sizes: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
    }
    for name, (outputs, inputs, biased) in products.items():
        sizes[f"{name}.weight"] = (outputs, inputs)
        if biased:
            sizes[f"{name}.bias"] = (outputs,)
    if shape.qk_norm:
        sizes |= {f"self_attn.{head}_norm.weight": (shape.head_dim,) for head in "qk"}
    return sizes


@attrs.frozen(kw_only=True, eq=False)
class LlamaLayer:
    """Weights of one layer; queries, keys and values are one product, and so are gate and up.

    Components of query and key heads stand in pairs, as ``interleave_halves`` puts them.

    Attributes:
        query_norm: [head_dim]; None where heads are not normalised.
        key_norm: The same for keys.
    """

    attention_norm: torch.Tensor
    qkv: Linear
    query_norm: torch.Tensor | None
    key_norm: torch.Tensor | None
    attention_output: Linear
    mlp_norm: torch.Tensor
    gate_up: Linear
    down: Linear


@attrs.frozen(kw_only=True, eq=False)
class LlamaWeights:
    """All weights, ready for the forward pass.

    Attributes:
        embedding: [vocabulary, hidden], mapped: only the rows of tokens that were seen are in memory.
        norm: [hidden].
        output: From hidden states to logits.
    """

    embedding: torch.Tensor
    layers: tuple[LlamaLayer, ...]
    norm: torch.Tensor
    output: Linear

    @classmethod
    def load(cls, checkpoint: Checkpoint, shape: LlamaShape, dtype: torch.dtype) -> Self:
        """Repack the weights of a checkpoint.

        Raises:
            LoadError: A tensor is missing or has another shape than config.json says.
        """
        for name, size in _sizes(shape):
            checkpoint.require(name, size)
        # One mapping per layer: what was repacked leaves memory before the next is read, and the embedding,
        # mapped last, shares no pages with the output layer that was packed from it.
        layers = []
        for index in range(shape.layers):
            with TensorReader(checkpoint, dtype) as reader:
                layers.append(_LayerReader(reader, shape).layer(index))
        with TensorReader(checkpoint, dtype) as reader:
            norm = reader.read(_NORM).clone()
            output = Linear([reader.read(_EMBEDDING if shape.tied else _OUTPUT)])
        with TensorReader(checkpoint, dtype) as reader:
            return cls(embedding=reader.read(_EMBEDDING), layers=tuple(layers), norm=norm, output=output)


@attrs.frozen
class _LayerReader:
    reader: TensorReader
    shape: LlamaShape

    def layer(self, index: int) -> LlamaLayer:
        shape, prefix = self.shape, f"model.layers.{index}"
        attention, mlp = f"{prefix}.self_attn", f"{prefix}.mlp"
        return LlamaLayer(
            attention_norm=self._vector(f"{prefix}.input_layernorm.weight"),
            qkv=self._qkv(attention),
            query_norm=self._paired(f"{attention}.q_norm.weight") if shape.qk_norm else None,
            key_norm=self._paired(f"{attention}.k_norm.weight") if shape.qk_norm else None,
            attention_output=self._linear(f"{attention}.o_proj", biased=shape.output_bias),
            mlp_norm=self._vector(f"{prefix}.post_attention_layernorm.weight"),
            gate_up=self._linear(f"{mlp}.gate_proj", f"{mlp}.up_proj", biased=shape.mlp_bias),
            down=self._linear(f"{mlp}.down_proj", biased=shape.mlp_bias),
        )

    def _vector(self, name: str) -> torch.Tensor:
        # A copy, so that these few bytes do not keep the whole file mapped.
        return self.reader.read(name).clone()

    def _paired(self, name: str) -> torch.Tensor:
        return interleave_halves(self.reader.read(name), self.shape.head_dim)

    def _linear(self, *names: str, biased: bool) -> Linear:
        weights = [self.reader.read(f"{name}.weight") for name in names]
        return Linear(weights, [self.reader.read(f"{name}.bias") for name in names] if biased else ())

    def _qkv(self, attention: str) -> Linear:
        rotated = [f"{attention}.{head}_proj" for head in "qk"]
        weights = [self._paired(f"{name}.weight") for name in rotated]
        weights.append(self.reader.read(f"{attention}.v_proj.weight"))
        if not self.shape.qkv_bias:
            return Linear(weights)
        biases = [self._paired(f"{name}.bias") for name in rotated]
        return Linear(weights, [*biases, self.reader.read(f"{attention}.v_proj.bias")])
