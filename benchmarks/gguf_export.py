"""Writes a Llama in Hugging Face layout as a GGUF file, so that llama.cpp computes the very same weights.

Formats: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, and the tensor names and the order of
query and key rows that llama.cpp expects of the architecture ``llama``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import gguf
import numpy as np
from numpy.typing import NDArray

from benchmarks.random_llama import WEIGHTS_FILE

_NORMAL_TOKEN = 1
_CONTROL_TOKEN = 3
_WIDTHS = {"F32": np.dtype(np.float32), "BF16": np.dtype(np.uint16), "F16": np.dtype(np.float16)}
_LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OUTER_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


@attrs.frozen(kw_only=True)
class _Source:
    """One tensor of the safetensors file, mapped."""

    name: str
    kind: gguf.GGMLQuantizationType
    values: NDArray[Any]


def write_gguf(folder: Path, target: Path) -> None:
    """Write ``target`` with the weights as ``folder`` stores them; norms become float32."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    unfinished = target.with_suffix(".part")
    writer = gguf.GGUFWriter(unfinished, "llama")
    _add_sizes(writer, config)
    _add_tokenizer(writer, folder, config)
    sources = [_placed(source, config) for source in _mapped(folder / WEIGHTS_FILE)]
    for source in sources:
        values = source.values
        writer.add_tensor_info(source.name, values.shape, values.dtype, values.nbytes, source.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for source in sources:
        writer.write_tensor_data(np.ascontiguousarray(source.values))
    writer.close()
    unfinished.rename(target)


def _add_sizes(writer: gguf.GGUFWriter, config: Mapping[str, Any]) -> None:
    width = config["hidden_size"] // config["num_attention_heads"]
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_rope_dimension_count(width)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path, config: Mapping[str, Any]) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokens = {place: text for text, place in tokenizer["model"]["vocab"].items()}
    special = {token["id"] for token in tokenizer["added_tokens"] if token["special"]}
    tokens |= {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    ids = range(config["vocab_size"])
    merges = tokenizer["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([tokens[place] for place in ids])
    writer.add_token_types([_CONTROL_TOKEN if place in special else _NORMAL_TOKEN for place in ids])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    if "bos_token_id" in config:
        writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])


def _mapped(file: Path) -> list[_Source]:
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(length))
    data = np.memmap(file, np.uint8, mode="r", offset=8 + length)
    sources = []
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        begin, end = tensor["data_offsets"]
        values = data[begin:end].view(_WIDTHS[tensor["dtype"]]).reshape(tensor["shape"])
        sources.append(_Source(name=name, kind=gguf.GGMLQuantizationType[tensor["dtype"]], values=values))
    return sources


def _placed(source: _Source, config: Mapping[str, Any]) -> _Source:
    """Rename a tensor, turn norms into float32, order rows of queries and keys by pairs."""
    values, kind = source.values, source.kind
    if source.name.endswith("q_proj.weight"):
        values = _by_pairs(values, config["num_attention_heads"])
    elif source.name.endswith("k_proj.weight"):
        values = _by_pairs(values, config["num_key_value_heads"])
    if values.ndim == 1:
        values, kind = _as_float32(values), gguf.GGMLQuantizationType.F32
    return _Source(name=_gguf_name(source.name), kind=kind, values=values)


def _gguf_name(name: str) -> str:
    if name in _OUTER_NAMES:
        return _OUTER_NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{_LAYER_NAMES[rest.removesuffix('.weight')]}.weight"


def _by_pairs(values: NDArray[Any], heads: int) -> NDArray[Any]:
    """Put components i and i + width / 2 side by side: llama.cpp turns neighbours, transformers halves."""
    rows, cols = values.shape
    return values.reshape(heads, 2, rows // heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


def _as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    if values.dtype == np.uint16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)
