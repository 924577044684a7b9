"""What a Llama-shaped model is made of, read from config.json without transformers.

Importing transformers and its configurations takes 1.3 s of a worker's start (transformers 5.23),
reading the file 0.2 ms.
"""

import math
from collections.abc import Mapping
from typing import Self

import attrs

from homeport import LoadError
from homeport_transformers.checkpoint import REPAIR_HINT
from homeport_transformers.rotary import ROPE_TYPES, Rope, rope_settings

_REQUIRED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "rms_norm_eps",
)
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "llama": (),
    "mistral": ("num_key_value_heads", "sliding_window"),
    "qwen2": ("num_key_value_heads",),
    "qwen3": ("num_key_value_heads", "head_dim"),
}
"""Model types of this shape, each with the keys whose absence stands for a default of its own."""


def why_not_llama(config: Mapping[str, object]) -> str | None:
    """Say what in a config.json the lean forward pass does not compute; None when it computes all of it."""
    family = config.get("model_type")
    if not isinstance(family, str) or family not in _FAMILIES:
        return f"model_type {family!r} is none of {', '.join(_FAMILIES)}"
    for key in (*_REQUIRED, *_FAMILIES[family]):
        if key not in config:
            return f"config.json leaves {key} to a default"
    return _odd_attention(config, family) or _odd_arithmetic(config)


def _odd_attention(config: Mapping[str, object], family: str) -> str | None:
    windowed = config.get("sliding_window") is not None and (
        family == "mistral" or bool(config.get("use_sliding_window"))
    )
    layer_types = config.get("layer_types")
    kinds = set(layer_types) if isinstance(layer_types, list) else set()
    if windowed or kinds - {"full_attention"}:
        return "attention is not full in every layer"
    settings = rope_settings(config)
    if settings["rope_type"] not in ROPE_TYPES:
        return f"rope type {settings['rope_type']!r} is none of {', '.join(ROPE_TYPES)}"
    if settings["partial_rotary_factor"] not in (None, 1.0):
        return f"rope turns only {settings['partial_rotary_factor']!r} of each head"
    return None


def _odd_arithmetic(config: Mapping[str, object]) -> str | None:
    if config.get("hidden_act", "silu") != "silu":
        return f"hidden_act is {config['hidden_act']!r}, not silu"
    if config.get("quantization_config"):
        return "weights are stored quantised"
    return None


@attrs.frozen(kw_only=True)
class LlamaShape:
    """Sizes and switches of a model that ``why_not_llama`` has nothing against.

    Attributes:
        context_length: Longest sequence it was made for, in tokens.
        tied: The embedding serves as output layer.
        qkv_bias: Queries, keys and values have biases.
        output_bias: The attention's output has one.
        mlp_bias: The three layers of the MLP have them.
        qk_norm: Each query and key head is normalised before it is rotated.
    """

    vocabulary_size: int
    hidden_size: int
    mlp_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context_length: int
    norm_epsilon: float
    tied: bool
    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    qk_norm: bool
    rope: Rope

    @classmethod
    def read(cls, config: Mapping[str, object]) -> Self:
        """Read a config.json.

        Raises:
            LoadError: A size is no positive whole number, or sizes contradict each other.
        """
        family = config["model_type"]
        hidden, heads = _size(config, "hidden_size"), _size(config, "num_attention_heads")
        given = {key for key in ("num_key_value_heads", "head_dim") if config.get(key) is not None}
        kv_heads = _size(config, "num_key_value_heads") if "num_key_value_heads" in given else heads
        head_dim = _size(config, "head_dim") if "head_dim" in given else hidden // heads
        if heads % kv_heads:
            raise _impossible(
                "num_attention_heads", heads, f"a multiple of num_key_value_heads, which is {kv_heads}"
            )
        if not head_dim or head_dim % 2:
            raise _impossible("head_dim", head_dim, "an even number above 0")
        attention_bias = bool(config.get("attention_bias")) and family in {"llama", "qwen3"}
        return cls(
            vocabulary_size=_size(config, "vocab_size"),
            hidden_size=hidden,
            mlp_size=_size(config, "intermediate_size"),
            layers=_size(config, "num_hidden_layers"),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            context_length=_size(config, "max_position_embeddings"),
            norm_epsilon=_epsilon(config),
            tied=bool(config.get("tie_word_embeddings")),
            qkv_bias=attention_bias or family == "qwen2",
            output_bias=attention_bias,
            mlp_bias=bool(config.get("mlp_bias")) and family == "llama",
            qk_norm=family == "qwen3",
            rope=Rope.read(config),
        )


def _size(config: Mapping[str, object], key: str) -> int:
    value = config[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _impossible(key, value, "a whole number above 0")
    return value


def _epsilon(config: Mapping[str, object]) -> float:
    value = config["rms_norm_eps"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise _impossible("rms_norm_eps", value, "a number of at least 0")
    return float(value)


def _impossible(key: str, value: object, allowed: str) -> LoadError:
    return LoadError(f"config.json says {key} is {value!r}, expected {allowed}", hint=REPAIR_HINT)
