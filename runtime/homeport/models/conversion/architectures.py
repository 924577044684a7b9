"""The decoder architectures of GGUF that have a counterpart in transformers, and how their tensors map.

Tensor names follow llama.cpp's ``gguf-py/gguf/tensor_mapping.py``, the order of rotary rows its
``convert_hf_to_gguf.py`` (``LlamaModel.permute``).
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import attrs

from homeport.domain.errors import PullError
from homeport.models.conversion.fields import Fields
from homeport.models.conversion.gguf_file import GgufFile
from homeport.models.conversion.rope import FREQUENCY_TENSOR, rope_parameters

EMBEDDING = "token_embd.weight"
_OUTPUT = "output.weight"

_TOP = {
    EMBEDDING: ("model.embed_tokens.weight", ("vocabulary", "hidden")),
    "output_norm.weight": ("model.norm.weight", ("hidden",)),
}
_HEAD = ("lm_head.weight", ("vocabulary", "hidden"))
_LAYER = {
    "attn_norm.weight": ("input_layernorm.weight", ("hidden",)),
    "attn_q.weight": ("self_attn.q_proj.weight", ("queries", "hidden")),
    "attn_k.weight": ("self_attn.k_proj.weight", ("keys", "hidden")),
    "attn_v.weight": ("self_attn.v_proj.weight", ("keys", "hidden")),
    "attn_output.weight": ("self_attn.o_proj.weight", ("hidden", "queries")),
    "ffn_norm.weight": ("post_attention_layernorm.weight", ("hidden",)),
    "ffn_gate.weight": ("mlp.gate_proj.weight", ("inner", "hidden")),
    "ffn_up.weight": ("mlp.up_proj.weight", ("inner", "hidden")),
    "ffn_down.weight": ("mlp.down_proj.weight", ("hidden", "inner")),
}
_BIASES = {
    "attn_q.bias": ("self_attn.q_proj.bias", ("queries",)),
    "attn_k.bias": ("self_attn.k_proj.bias", ("keys",)),
    "attn_v.bias": ("self_attn.v_proj.bias", ("keys",)),
}
_HEAD_NORMS = {
    "attn_q_norm.weight": ("self_attn.q_norm.weight", ("head",)),
    "attn_k_norm.weight": ("self_attn.k_norm.weight", ("head",)),
}
_DEVIATIONS = (
    "expert_count",
    "attention.sliding_window",
    "attention.scale",
    "logit_scale",
    "embedding_scale",
    "residual_scale",
)
"""Fields that change the computation in a way that these architectures do not have."""


@attrs.frozen(kw_only=True)
class Architecture:
    """A decoder that both sides know.

    Attributes:
        model_type: Its name in config.json; GGUF uses the same one.
        class_name: Its class in transformers.
        layer_tensors: Tensors of a layer: GGUF's name, ours, and the shape in words.
        has_paired_rotary_rows: Whether llama.cpp puts the two halves of each head's rotary rows side by side.
        settings: What config.json says besides.
    """

    model_type: str
    class_name: str
    layer_tensors: Mapping[str, tuple[str, tuple[str, ...]]]
    has_paired_rotary_rows: bool = False
    settings: Mapping[str, object] = attrs.field(factory=dict)


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "llama": Architecture(
            model_type="llama",
            class_name="LlamaForCausalLM",
            layer_tensors=_LAYER,
            has_paired_rotary_rows=True,
            settings={"attention_bias": False, "mlp_bias": False},
        ),
        "qwen2": Architecture(
            model_type="qwen2",
            class_name="Qwen2ForCausalLM",
            layer_tensors=_LAYER | _BIASES,
            settings={"use_sliding_window": False},
        ),
        "qwen3": Architecture(
            model_type="qwen3",
            class_name="Qwen3ForCausalLM",
            layer_tensors=_LAYER | _HEAD_NORMS,
            settings={"attention_bias": False, "use_sliding_window": False},
        ),
    }
)


@attrs.frozen
class MappedTensor:
    """A tensor of the source, its name in the result, and its heads with paired rotary rows (0: none)."""

    source: str
    target: str
    paired_heads: int = 0


@attrs.frozen(kw_only=True)
class DecoderShape:
    """The figures of a decoder, read from a GGUF file and checked against its tensors.

    Attributes:
        architecture: What it is.
        hidden: Width of the hidden states.
        inner: Width of the feed-forward part.
        layers: Number of layers.
        heads: Query heads.
        key_heads: Key and value heads.
        head: Width of a head.
        vocabulary: Number of tokens.
        context: Longest sequence in tokens.
        norm_epsilon: Added to the variance in each norm.
        rope: ``rope_parameters`` of config.json.
        has_own_output: Whether the output matrix differs from the embedding matrix.
    """

    architecture: Architecture
    hidden: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    head: int
    vocabulary: int
    context: int
    norm_epsilon: float
    rope: Mapping[str, object]
    has_own_output: bool

    @classmethod
    def read(cls, file: GgufFile) -> "DecoderShape":
        """Read the figures of a file.

        Raises:
            PullError: Its architecture has no counterpart, or a figure is missing or impossible.
        """
        fields = Fields(file.fields)
        architecture = _find_architecture(fields.text("general.architecture"))
        own = fields.below(f"{architecture.model_type}.")
        hidden, heads = own.count("embedding_length"), own.count("attention.head_count")
        key_heads = own.count("attention.head_count_kv", heads)
        head = own.count("attention.key_length", hidden // heads)
        if head % 2 or heads % key_heads:
            raise PullError(f"{heads} heads of width {head} over {key_heads} key heads are impossible")
        _refuse_deviations(architecture.model_type, own, head)
        if EMBEDDING not in file.tensors:
            raise PullError(f"the GGUF file has no tensor {EMBEDDING}")
        return cls(
            architecture=architecture,
            hidden=hidden,
            inner=own.count("feed_forward_length"),
            layers=own.count("block_count"),
            heads=heads,
            key_heads=key_heads,
            head=head,
            vocabulary=file.tensors[EMBEDDING].shape[0],
            context=own.count("context_length"),
            norm_epsilon=own.number("attention.layer_norm_rms_epsilon"),
            rope=rope_parameters(own, file, head),
            has_own_output=_OUTPUT in file.tensors,
        )

    def tensors(self, file: GgufFile) -> list[MappedTensor]:
        """Name every tensor of the result, in the order of the layers.

        Raises:
            PullError: A tensor is missing, has another shape, or is one too many.
        """
        sizes = {
            "hidden": self.hidden,
            "inner": self.inner,
            "queries": self.heads * self.head,
            "keys": self.key_heads * self.head,
            "head": self.head,
            "vocabulary": self.vocabulary,
        }
        mapped = []
        for source, (target, words) in self._names():
            shape = tuple(sizes[word] for word in words)
            tensor = file.tensors.get(source)
            if tensor is None or tensor.shape != shape:
                found = "is missing" if tensor is None else f"has shape {tensor.shape}"
                raise PullError(f"tensor {source} {found}, the fields of the GGUF file say {shape}")
            mapped.append(MappedTensor(source, target, self._paired_heads(target)))
        surplus = set(file.tensors) - {tensor.source for tensor in mapped} - {FREQUENCY_TENSOR}
        if surplus:
            raise PullError(
                f"the GGUF file has tensors that {self.architecture.model_type} models do not have: "
                f"{', '.join(sorted(surplus)[:3])}"
            )
        return mapped

    def config(self) -> dict[str, object]:
        """Write the figures as config.json has them."""
        return {
            "architectures": [self.architecture.class_name],
            "model_type": self.architecture.model_type,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.inner,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_heads,
            "head_dim": self.head,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.context,
            "rms_norm_eps": self.norm_epsilon,
            "rope_parameters": dict(self.rope),
            "tie_word_embeddings": not self.has_own_output,
            **self.architecture.settings,
        }

    def _names(self) -> Iterator[tuple[str, tuple[str, tuple[str, ...]]]]:
        yield from _TOP.items()
        if self.has_own_output:
            yield _OUTPUT, _HEAD
        for layer in range(self.layers):
            for source, (target, words) in self.architecture.layer_tensors.items():
                yield f"blk.{layer}.{source}", (f"model.layers.{layer}.{target}", words)

    def _paired_heads(self, target: str) -> int:
        if not self.architecture.has_paired_rotary_rows:
            return 0
        if ".q_proj." in target:
            return self.heads
        return self.key_heads if ".k_proj." in target else 0


def _find_architecture(name: str) -> Architecture:
    architecture = ARCHITECTURES.get(name)
    if architecture is None:
        raise PullError(
            f"GGUF files of architecture {name!r} cannot be converted, only {', '.join(ARCHITECTURES)}",
            hint="ask for the model's own repository with safetensors files instead",
        )
    return architecture


def _refuse_deviations(name: str, own: Fields, head: int) -> None:
    """Refuse what would be computed otherwise than the architecture of this name is."""
    for key in _DEVIATIONS:
        if own.has(key) and own.number(key):
            raise PullError(f"{name} models with {key} = {own.number(key)} cannot be converted")
    for key in ("attention.value_length", "rope.dimension_count"):
        if own.count(key, head) != head:
            raise PullError(
                f"{name} models with {key} = {own.count(key)} and heads of {head} cannot be converted"
            )
