"""A folder with a model that another program exported to ONNX: checked, and taken over as it is."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from homeport.checkpoint import OnnxFile
from homeport.domain.errors import LoadError, PullError
from homeport.domain.models import Capability
from homeport.domain.quantisation import Quantisation, WeightsWish
from homeport.models.conversion.description import Description
from homeport.models.conversion.genai_config import GENAI_FILE, config_of, renamed, sampling_of
from homeport.models.conversion.published_config import describe_config
from homeport.models.conversion.published_files import (
    CONFIG_FILE,
    MODULES_FILE,
    files_beside,
    license_of,
    move_files,
    read_configs,
    read_object,
    template_of,
    write_configs,
)
from homeport.models.conversion.safetensors_file import Progress
from homeport.models.conversion.sampling_defaults import from_generation_config
from homeport.models.durable import regular_size
from homeport.models.footprint import KV_NUMBER_BYTES
from homeport.models.manifest import WeightsFormat
from homeport.plugin.records import StoredForm

MODEL_FILE = "model.onnx"
"""What the file of an entry is called, whatever it was called where it came from."""

_FOLDERS = ("", "onnx")
_DATA_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_TEXTS = (".json", ".jinja")
"""Ends of names that weights never have: the manifest and a template are written beside them later."""
_PAST = "past_key_values."
_EMBEDDINGS = frozenset({"last_hidden_state", "token_embeddings", "sentence_embedding"})
_TYPES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "float32": ("F32", "fp32"),
        "float16": ("F16", "fp16"),
        "bfloat16": ("BF16", "bf16"),
        "int8": ("Q8", "int8"),
        "int4": ("Q4", "int4"),
        "int2": ("Q2", "int2"),
    }
)
"""Types of weights as manifests have them of safetensors, and as homeport names them."""
_PACKED_SHARE = 4
"""A model whose packed weights are a fourth of all is named by them: embeddings often stay as they were."""


def find_onnx(download: Path) -> Path | None:
    """Give the ONNX file that a source left; None where it left none.

    Raises:
        PullError: It left several.
    """
    found = [path for folder in _FOLDERS for path in sorted((download / folder).glob("*.onnx"))]
    if len(found) > 1:
        raise PullError(f"the source left {len(found)} ONNX files, expected one")
    return found[0] if found else None


def import_onnx(
    model: Path, download: Path, folder: Path, *, wish: WeightsWish, progress: Progress
) -> Description:
    """Take the files of an exported model over into a folder of the store.

    Args:
        model: Its ONNX file.
        download: What a source left.
        folder: Where to; must exist, on the same disk.
        wish: What is wanted of the weights.
        progress: Told the bytes taken over so far and in all.

    Raises:
        PullError: A file is missing, damaged, or of a kind that is refused.
    """
    file = _read(model)
    configs, genai = _configs(download)
    beside = files_beside(download)
    description = describe_config(
        configs[CONFIG_FILE],
        {_TYPES[kind][0]: count for kind, count in file.weights.items()},
        is_sentence_model=MODULES_FILE in beside,
        sentence_length=configs.get("sentence_bert_config.json", {}).get("max_seq_length"),
        capability=_capability(file),
    )
    label = weights_label(file)
    _check_wish(wish, label, model.name)
    write_configs(folder, configs)
    move_files(download, folder, beside)
    progress(0, file.weights_bytes)
    _move_model(file, folder)
    progress(file.weights_bytes, file.weights_bytes)
    generates = Capability.COMPLETION in description.capabilities
    return attrs.evolve(
        description,
        converted_from=WeightsFormat.ONNX,
        form=StoredForm.ONNX,
        weights=label,
        weights_note=f"as they were exported, in {model.name}",
        bits_per_weight=round(file.stored_bytes * 8 / max(description.parameter_count, 1), 2),
        license=license_of(download),
        template=template_of(folder, configs) if generates else "",
        parameters=from_generation_config(configs.get("generation_config.json") or sampling_of(genai)),
        facts={**description.facts, **_cache_fact(file)},
    )


def weights_label(file: OnnxFile) -> str:
    """Name the type of most weights, or of most packed ones where these are many: ``int4``, ``fp32``."""
    packed = {kind: count for kind, count in file.weights.items() if kind.startswith("int")}
    is_packed = sum(packed.values()) * _PACKED_SHARE >= sum(file.weights.values())
    counts = packed if packed and is_packed else file.weights
    return _TYPES[max(counts, key=counts.__getitem__)][1] if counts else ""


def _read(model: Path) -> OnnxFile:
    if regular_size(model) is None:
        raise PullError(f"{model.name!r} is no regular file")
    try:
        return OnnxFile.read(model)
    except LoadError as error:
        raise PullError(error.message, hint="ask for another export of the model") from error


def _configs(download: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Read all configurations, and that of onnxruntime-genai, which may stand for config.json."""
    configs = read_configs(download)
    genai: dict[str, Any] = {}
    if (download / GENAI_FILE).is_file():
        genai = read_object(download / GENAI_FILE)
        configs = {CONFIG_FILE: config_of(genai), **configs, GENAI_FILE: renamed(genai, MODEL_FILE)}
    if CONFIG_FILE not in configs:
        raise PullError(
            f"the model has neither {CONFIG_FILE} nor {GENAI_FILE}",
            hint="ask for a folder as optimum or onnxruntime-genai write it",
        )
    return configs, genai


def _capability(file: OnnxFile) -> Capability:
    """Say what a graph can be asked for by what goes in and out."""
    if "logits" in file.outputs and any(name.startswith(_PAST) for name in file.inputs):
        return Capability.COMPLETION
    if _EMBEDDINGS & set(file.outputs):
        return Capability.EMBEDDING
    given = ", ".join(list(file.outputs)[:4])
    raise PullError(
        f"the ONNX graph gives {given!r:.120} and neither generates nor embeds text here",
        hint="export it with the task text-generation-with-past, or feature-extraction",
    )


def _cache_fact(file: OnnxFile) -> dict[str, int]:
    """Tell the bytes of a number of keys and values, which an export chooses apart from its weights."""
    dtypes = {spec.dtype for name, spec in file.inputs.items() if name.startswith(_PAST)}
    return {KV_NUMBER_BYTES: 2 if dtypes == {"float16"} else 4} if dtypes else {}


def _check_wish(wish: WeightsWish, label: str, name: str) -> None:
    kept = {Quantisation.AUTO.value, label}
    if wish.is_demanded and wish.quantisation.value not in kept:
        raise PullError(
            f"the weights of {name!r} are {label} and cannot be made {wish.quantisation.value}: "
            "ONNX files are kept as they were exported",
            hint="pull it without --quant, or name another file of the model as the tag, such as q4",
        )


def _move_model(file: OnnxFile, folder: Path) -> None:
    """Move a model file and what lies outside of it, whose names the file has: they stay."""
    for name in file.data_files:
        if not _DATA_FILE.fullmatch(name) or regular_size(file.path.parent / name) is None:
            raise PullError(
                f"the ONNX file keeps weights in {name!r:.80}, expected a regular file beside it",
                hint="ask for another export of the model",
            )
        if (folder / name).exists() or name == MODEL_FILE or name.endswith(_TEXTS):
            raise PullError(
                f"the ONNX file keeps weights in {name!r:.80}, which is another file of the model"
            )
    move_files(file.path.parent, folder, file.data_files)
    file.path.rename(folder / MODEL_FILE)
