"""Llama-shaped models with random weights, as folders in Hugging Face layout, in bfloat16.

Speed and memory depend on shapes alone. So that quality can be measured too, the weights are scaled to give
what a trained model gives: attention that is neither flat nor frozen, layers that add to the residual stream
about evenly, and logits with a perplexity of some tens.
"""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")
ALIGNMENT_BYTES = 64
_EMBEDDING_SCALE = 0.1
_PROJECTION_SCALE = 0.02
_ATTENTION_SCALE = 0.03
"""Of queries and keys: at hidden size 2048 and heads of 64, scores have a standard deviation of about 1.8."""
_LOGIT_DEVIATION = 3.6
"""Of 49,152 logits: 4.3 nats of entropy on average."""


@attrs.frozen(kw_only=True)
class LlamaSizes:
    """The sizes that config.json tells of a Llama."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    mlp: int
    vocabulary: int = 49_152
    context: int = 8192

    @property
    def head_width(self) -> int:
        """Components of one head."""
        return self.hidden // self.heads


SIZES = {
    "1.1b": LlamaSizes(hidden=2048, layers=22, heads=32, kv_heads=4, mlp=5632),
    "tiny": LlamaSizes(hidden=256, layers=4, heads=4, kv_heads=2, mlp=512),
}
"""By name: the model of all published figures, and one to try the commands with."""


def write_random_llama(folder: Path, sizes: LlamaSizes, tokenizer_folder: Path, *, seed: int = 0) -> None:
    """Write config.json, model.safetensors and a tokenizer that fits.

    Args:
        folder: Made where it is missing.
        sizes: Of the model.
        tokenizer_folder: Holds the tokenizer's files, which are copied.
        seed: Of the weights; the same seed gives the same file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (tokenizer_folder / name).is_file():
            shutil.copy(tokenizer_folder / name, folder / name)
    own = json.loads((tokenizer_folder / "config.json").read_text(encoding="utf-8"))
    ends = {key: own[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id") if key in own}
    (folder / "config.json").write_text(json.dumps(_config(sizes) | ends, indent=1), encoding="utf-8")
    _write_weights(folder / WEIGHTS_FILE, list(_tensors(sizes)), seed)


def to_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round finite numbers to the nearest bfloat16, ties to even, as their bits."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounding = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return ((bits + rounding) >> np.uint32(16)).astype(np.uint16)


def _config(sizes: LlamaSizes) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.mlp,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "head_dim": sizes.head_width,
        "vocab_size": sizes.vocabulary,
        "max_position_embeddings": sizes.context,
        "rms_norm_eps": 1e-05,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "dtype": "bfloat16",
    }


@attrs.frozen
class _Tensor:
    name: str
    shape: tuple[int, ...]
    scale: float
    """Standard deviation; 0 is a tensor of ones."""

    @property
    def size_bytes(self) -> int:
        return 2 * math.prod(self.shape)


def _tensors(sizes: LlamaSizes) -> Iterator[_Tensor]:
    hidden, mlp, kv = sizes.hidden, sizes.mlp, sizes.kv_heads * sizes.head_width
    # As GPT-2: what is added to the residual stream is divided by the root of how often that happens.
    added = _PROJECTION_SCALE / math.sqrt(2 * sizes.layers)
    yield _Tensor("model.embed_tokens.weight", (sizes.vocabulary, hidden), _EMBEDDING_SCALE)
    for layer in range(sizes.layers):
        prefix = f"model.layers.{layer}"
        yield _Tensor(f"{prefix}.input_layernorm.weight", (hidden,), 0.0)
        yield _Tensor(f"{prefix}.self_attn.q_proj.weight", (hidden, hidden), _ATTENTION_SCALE)
        yield _Tensor(f"{prefix}.self_attn.k_proj.weight", (kv, hidden), _ATTENTION_SCALE)
        yield _Tensor(f"{prefix}.self_attn.v_proj.weight", (kv, hidden), _PROJECTION_SCALE)
        yield _Tensor(f"{prefix}.self_attn.o_proj.weight", (hidden, hidden), added)
        yield _Tensor(f"{prefix}.post_attention_layernorm.weight", (hidden,), 0.0)
        yield _Tensor(f"{prefix}.mlp.gate_proj.weight", (mlp, hidden), _PROJECTION_SCALE)
        yield _Tensor(f"{prefix}.mlp.up_proj.weight", (mlp, hidden), _PROJECTION_SCALE)
        yield _Tensor(f"{prefix}.mlp.down_proj.weight", (hidden, mlp), added)
    yield _Tensor("model.norm.weight", (hidden,), 0.0)
    yield _Tensor("lm_head.weight", (sizes.vocabulary, hidden), _LOGIT_DEVIATION / math.sqrt(hidden))


def _write_weights(path: Path, tensors: list[_Tensor], seed: int) -> None:
    """Write a safetensors file tensor by tensor: the whole would take a second copy in memory.

    Format: https://github.com/huggingface/safetensors#format.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.size_bytes
        header[tensor.name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % ALIGNMENT_BYTES)
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for place, tensor in enumerate(tensors):
            draw = np.random.default_rng([seed, place])
            values = draw.standard_normal(tensor.shape, np.float32) * np.float32(tensor.scale)
            file.write(to_bf16(values if tensor.scale else values + 1).tobytes())
    unfinished.rename(path)
