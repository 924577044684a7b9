"""A GGUF file, turned into a folder in Hugging Face layout."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import attrs
from gguf.constants import LlamaFileType

from homeport.domain.errors import PullError
from homeport.domain.models import Capability
from homeport.domain.quantisation import WeightsWish
from homeport.models.conversion.architectures import DecoderShape
from homeport.models.conversion.description import Description
from homeport.models.conversion.fields import Fields
from homeport.models.conversion.gguf_file import Field, GgufFile
from homeport.models.conversion.gguf_weights import gguf_weight
from homeport.models.conversion.safetensors_file import Progress
from homeport.models.conversion.sampling_defaults import from_gguf
from homeport.models.conversion.vocabulary import Vocabulary, read_vocabulary
from homeport.models.conversion.weight_forms import choose_forms, weights_label
from homeport.models.conversion.writing import WeightsWriter
from homeport.models.manifest import WeightsFormat
from homeport.models.records import Value
from homeport.worker.cores import usable_cores

_DTYPE_NAMES = {"fp16": "float16", "bf16": "bfloat16"}
"""What config.json says the weights are; float32 stands for packed ones too."""
_LISTED_VALUES = 5
"""Longer lists of metadata are left empty, as Ollama's show route does."""


def convert_gguf(
    path: Path, folder: Path, *, wish: WeightsWish, room_bytes: int, progress: Progress
) -> Description:
    """Write config, tokenizer and weights of a GGUF file into a folder.

    Quantised weights keep their bits, or what is closest to them in the packed form, unless other ones are
    wanted.

    Args:
        path: The file.
        folder: Where to; must exist.
        wish: What is wanted of the weights.
        room_bytes: What the result may take.
        progress: Told the bytes written so far and in all.

    Raises:
        PullError: The file is damaged, or holds what cannot be converted for sure.
    """
    file = GgufFile(path)
    fields = Fields(file.fields)
    shape = DecoderShape.read(file)
    threads = usable_cores()
    weights = [gguf_weight(file, tensor, threads) for tensor in shape.tensors(file)]
    vocabulary = read_vocabulary(fields)
    if vocabulary.size != shape.vocabulary:
        raise PullError(
            f"the GGUF file has {vocabulary.size} tokens and {shape.vocabulary} rows of embeddings"
        )
    forms = choose_forms(wish, shape.config(), weights, generates=True)
    writer = WeightsWriter(forms=forms.forms, threads=threads, room_bytes=room_bytes)
    size = writer.write(folder / "model.safetensors", weights, progress)
    label = weights_label(weights, forms)
    template = fields.text("tokenizer.chat_template", "")
    _write_configs(folder, shape, vocabulary, template, _DTYPE_NAMES.get(label, "float32"))
    description = _describe(file, fields, shape, sum(weight.elements for weight in weights))
    return attrs.evolve(
        description,
        weights=label,
        weights_note=forms.note,
        bits_per_weight=round(size * 8 / description.parameter_count, 2),
    )


def precision_of_gguf(path: Path) -> str:
    """Name the precision of a GGUF file: ``Q4_K_M``, ``F16``.

    Raises:
        PullError: The file is damaged.
    """
    return _quantization(GgufFile(path))


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
