"""A GGUF file, turned into a folder in Hugging Face layout."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from gguf.constants import GGMLQuantizationType, LlamaFileType
from gguf.quants import dequantize
from numpy.typing import NDArray

from homeport.domain.errors import PullError
from homeport.domain.models import Capability
from homeport.models.conversion.architectures import DecoderShape, MappedTensor
from homeport.models.conversion.description import Description
from homeport.models.conversion.fields import Fields
from homeport.models.conversion.gguf_file import Field, GgufFile, GgufTensor
from homeport.models.conversion.room import check_room
from homeport.models.conversion.safetensors_file import Progress, TensorPlan, write_safetensors
from homeport.models.conversion.sampling_defaults import from_gguf
from homeport.models.conversion.vocabulary import Vocabulary, read_vocabulary
from homeport.models.manifest import WeightsFormat
from homeport.models.records import Value

_KEPT_FORMATS: Mapping[GGMLQuantizationType, tuple[str, type[np.generic]]] = {
    GGMLQuantizationType.F32: ("F32", np.float32),
    GGMLQuantizationType.F16: ("F16", np.float16),
    GGMLQuantizationType.BF16: ("BF16", np.uint16),
}
"""Kept as they are; everything else becomes float32. numpy has no bfloat16: its bits travel as uint16."""
_DTYPE_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_LISTED_VALUES = 5
"""Longer lists of metadata are left empty, as Ollama's show route does."""


def convert_gguf(path: Path, folder: Path, *, room_bytes: int, progress: Progress) -> Description:
    """Write config, tokenizer and weights of a GGUF file into a folder.

    Quantised weights become float32; 16-bit floats keep their bits.

    Args:
        path: The file.
        folder: Where to; must exist.
        room_bytes: What the result may take.
        progress: Told the bytes written so far and in all.

    Raises:
        PullError: The file is damaged, or holds what cannot be converted for sure.
    """
    file = GgufFile(path)
    fields = Fields(file.fields)
    shape = DecoderShape.read(file)
    tensors = shape.tensors(file)
    vocabulary = read_vocabulary(fields)
    if vocabulary.size != shape.vocabulary:
        raise PullError(
            f"the GGUF file has {vocabulary.size} tokens and {shape.vocabulary} rows of embeddings"
        )
    plans = {_plan(file.tensors[tensor.source], tensor): tensor for tensor in tensors}
    check_room(sum(plan.size for plan in plans), room_bytes)
    template = fields.text("tokenizer.chat_template", "")
    _write_configs(folder, shape, vocabulary, template, _main_dtype(plans))
    write_safetensors(
        folder / "model.safetensors",
        plans,
        lambda plan: _values(file, file.tensors[plans[plan].source], plans[plan]),
        progress,
    )
    parameter_count = sum(file.tensors[tensor.source].elements for tensor in tensors)
    return _describe(file, fields, shape, parameter_count)


def _describe(file: GgufFile, fields: Fields, shape: DecoderShape, parameter_count: int) -> Description:
    return Description(
        converted_from=WeightsFormat.GGUF,
        quantization=_quantization(file),
        license=fields.text("general.license", ""),
        template=fields.text("tokenizer.chat_template", ""),
        parameters=from_gguf(fields),
        capabilities=frozenset({Capability.COMPLETION}),
        family=shape.architecture.model_type,
        parameter_count=parameter_count,
        context_length=shape.context,
        embedding_length=shape.hidden,
        facts={**_facts(file.fields), "general.parameter_count": parameter_count},
    )


def _plan(source: GgufTensor, tensor: MappedTensor) -> TensorPlan:
    dtype, _ = _KEPT_FORMATS.get(source.kind, ("F32", np.float32))
    return TensorPlan(tensor.target, dtype, source.shape)


def _values(file: GgufFile, source: GgufTensor, tensor: MappedTensor) -> NDArray[np.generic]:
    raw = file.raw(source)
    values: NDArray[np.generic]
    if source.kind in _KEPT_FORMATS:
        values = raw.view(_KEPT_FORMATS[source.kind][1]).reshape(source.shape)
    else:
        rows = raw.reshape(*source.shape[:-1], -1)
        try:
            values = dequantize(rows, source.kind).reshape(source.shape)
        except NotImplementedError as error:
            raise PullError(f"weights of format {source.kind.name} cannot be converted") from error
    return _unpaired(values, tensor.paired_heads) if tensor.paired_heads else values


def _unpaired(rows: NDArray[np.generic], heads: int) -> NDArray[np.generic]:
    """Put rotary rows back in two halves per head: [heads * width, ...] from pairs (i, i + width / 2)."""
    halves = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def _main_dtype(plans: Mapping[TensorPlan, MappedTensor]) -> str:
    """Name the number format of most weights."""
    sizes: dict[str, int] = {}
    for plan in plans:
        sizes[plan.dtype] = sizes.get(plan.dtype, 0) + plan.size
    return _DTYPE_NAMES[max(sizes, key=sizes.__getitem__)]


def _write_configs(
    folder: Path, shape: DecoderShape, vocabulary: Vocabulary, template: str, dtype: str
) -> None:
    ids = {
        "bos_token_id": vocabulary.begin_token,
        "eos_token_id": list(vocabulary.end_tokens),
        "pad_token_id": vocabulary.pad_token,
    }
    main_end = vocabulary.end_tokens[0] if vocabulary.end_tokens else None
    _write_json(folder / "config.json", {**shape.config(), **ids, "eos_token_id": main_end, "dtype": dtype})
    _write_json(
        folder / "generation_config.json", {key: value for key, value in ids.items() if value is not None}
    )
    tokenizer_config = {**vocabulary.config, "model_max_length": shape.context}
    if template:
        tokenizer_config["chat_template"] = template
    _write_json(folder / "tokenizer_config.json", tokenizer_config)
    vocabulary.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _quantization(file: GgufFile) -> str:
    """Name the precision as Ollama does: ``Q4_K_M``, ``F16``."""
    number = file.fields.get("general.file_type")
    if isinstance(number, int) and number in set(LlamaFileType):
        name: str = LlamaFileType(number).name
        return name.removeprefix("MOSTLY_").removeprefix("ALL_")
    sizes: dict[str, int] = {}
    for tensor in file.tensors.values():
        sizes[tensor.kind.name] = sizes.get(tensor.kind.name, 0) + tensor.elements
    return max(sizes, key=sizes.__getitem__)


def _facts(fields: Mapping[str, Field]) -> dict[str, Value]:
    """Keep the metadata that describes the model, without its long lists and texts told elsewhere."""
    told_elsewhere = {"tokenizer.chat_template", "general.license"}
    facts: dict[str, Value] = {}
    for key, value in fields.items():
        listed = value if isinstance(value, list) else [value]
        is_finite = all(math.isfinite(item) for item in listed[:_LISTED_VALUES] if isinstance(item, float))
        if key not in told_elsewhere and is_finite:
            fact = tuple(listed) if len(listed) <= _LISTED_VALUES else ()
            facts[key] = fact if isinstance(value, list) else value
    return facts
