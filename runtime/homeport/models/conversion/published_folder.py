"""A folder as models are published on the Hugging Face hub: checked, and reduced to what is needed."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from tokenizers import Tokenizer

from homeport.domain.errors import PullError, StoreError
from homeport.domain.models import Capability
from homeport.domain.quantisation import WeightsWish
from homeport.models.conversion.description import Description
from homeport.models.conversion.folder_weights import folder_weights
from homeport.models.conversion.published_config import describe_config
from homeport.models.conversion.safetensors_file import Progress
from homeport.models.conversion.sampling_defaults import from_generation_config
from homeport.models.conversion.source_weight import SourceWeight
from homeport.models.conversion.weight_forms import choose_forms, weights_label
from homeport.models.conversion.writing import WeightsWriter
from homeport.models.durable import read_record, regular_size
from homeport.worker.cores import usable_cores

_CONFIG_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "sentence_bert_config.json",
)
_TEMPLATE_FILE = "chat_template.jinja"
_TOKENIZER_FILE = "tokenizer.json"
_MODULES_FILE = "modules.json"
_WEIGHTS_FILE = "model.safetensors"
_INDEX_FILE = "model.safetensors.index.json"
_CARD_FILE = "README.md"
_DTYPES = {"bf16": "bfloat16", "fp32": "float32"}
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.joblib")
_SHARD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors")
_POOLING_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_KNOWN_MODULES = frozenset({"Transformer", "Pooling", "Normalize"})
_CODE_KEY = "auto_map"
"""Names Python code beside the model; nothing of homeport follows it."""


def import_folder(
    download: Path, folder: Path, *, wish: WeightsWish, room_bytes: int, progress: Progress
) -> Description:
    """Take the files of a published model over into a folder of the store.

    Files of weights that stay as they are are moved; others are written anew, as one, and left behind.

    Args:
        download: What a source left.
        folder: Where to; must exist, on the same disk.
        wish: What is wanted of the weights.
        room_bytes: What may be written.
        progress: Told the bytes taken over so far and in all.

    Raises:
        PullError: A file is missing, damaged, or of a kind that is refused.
    """
    configs = _read_configs(download)
    _check_tokenizer(download / _TOKENIZER_FILE)
    sentence_files = _sentence_files(download)
    weights = folder_weights(download, _shards(download))
    description = describe_config(
        configs["config.json"],
        _count_weights(weights),
        is_sentence_model=bool(sentence_files),
        sentence_length=configs.get("sentence_bert_config.json", {}).get("max_seq_length"),
    )
    generates = Capability.COMPLETION in description.capabilities
    forms = choose_forms(wish, configs["config.json"], weights, generates=generates)
    label = weights_label(weights, forms)
    if label in _DTYPES and not forms.keeps_all:
        configs["config.json"].pop("torch_dtype", None)
        configs["config.json"]["dtype"] = _DTYPES[label]
    _write_configs(folder, configs)
    others = [_TEMPLATE_FILE] if (download / _TEMPLATE_FILE).is_file() else []
    _move(download, folder, [_TOKENIZER_FILE, *others, *sentence_files])
    if forms.keeps_all:
        size = _move_weights(download, folder, weights, progress)
    else:
        writer = WeightsWriter(forms=forms.forms, threads=usable_cores(), room_bytes=room_bytes)
        size = writer.write(folder / _WEIGHTS_FILE, weights, progress)
    return attrs.evolve(
        description,
        weights=label,
        weights_note=forms.note,
        bits_per_weight=round(size * 8 / max(description.parameter_count, 1), 2),
        license=_license(download),
        template=_template(folder, configs) if generates else "",
        parameters=from_generation_config(configs.get("generation_config.json", {})),
    )


def precision_of_folder(download: Path) -> str:
    """Name the number format of most weights: ``BF16``.

    Raises:
        PullError: They are missing or damaged.
    """
    counts = _count_weights(folder_weights(download, _shards(download)))
    return max(counts, key=counts.__getitem__, default="")


def _read_configs(download: Path) -> dict[str, dict[str, Any]]:
    configs = {name: _read_object(download / name) for name in _CONFIG_FILES if (download / name).is_file()}
    if "config.json" not in configs:
        raise PullError(
            "the model has no config.json", hint="ask for one in Hugging Face layout, or a GGUF file"
        )
    return configs


def _write_configs(folder: Path, configs: Mapping[str, dict[str, Any]]) -> None:
    """Write configurations, without what names code."""
    for name, content in configs.items():
        content.pop(_CODE_KEY, None)
        (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _check_tokenizer(path: Path) -> None:
    if regular_size(path) is None:
        raise PullError(
            "the model has no tokenizer.json, and other kinds of tokenizer files are not read",
            hint="write one with: transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
        )
    try:
        Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for every fault
        raise PullError(f"tokenizer.json cannot be read: {error}") from error


def _shards(download: Path) -> list[str]:
    """Name the files of weights."""
    if (download / _INDEX_FILE).is_file():
        listed = _read_object(download / _INDEX_FILE).get("weight_map")
        shards = sorted(set(listed.values())) if isinstance(listed, dict) else []
        if not shards or not all(isinstance(name, str) and _SHARD.fullmatch(name) for name in shards):
            raise PullError(f"{_INDEX_FILE} names no files of weights, or impossible ones")
    else:
        shards = [_WEIGHTS_FILE]
    missing = [name for name in shards if regular_size(download / name) is None]
    if missing and any(next(download.glob(pattern), None) for pattern in _PICKLES):
        raise PullError(
            f"the model has no {missing[0]}, only pickled weights, which can run code and are never read",
            hint="ask for a revision with safetensors files, or convert it where you trust its author",
        )
    if missing:
        raise PullError(f"the model has no {missing[0]}")
    return shards


def _count_weights(weights: Sequence[SourceWeight]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for weight in weights:
        counts[weight.dtype] += weight.elements
    return counts


def _sentence_files(download: Path) -> list[str]:
    """Name the files that make a sentence-transformers model; none where it is no such model."""
    if not (download / _MODULES_FILE).is_file():
        return []
    modules = _read_json(download / _MODULES_FILE)
    files = [_MODULES_FILE]
    for module in modules if isinstance(modules, list) else [modules]:
        entry = module if isinstance(module, dict) else {}
        kind, path = str(entry.get("type")).rpartition(".")[2], str(entry.get("path"))
        if kind not in _KNOWN_MODULES:
            raise PullError(
                f"{_MODULES_FILE} asks for {module!r:.80}, known are {', '.join(sorted(_KNOWN_MODULES))}"
            )
        if kind == "Pooling":
            config = f"{path}/config.json"
            if not _POOLING_FOLDER.fullmatch(path) or regular_size(download / config) is None:
                raise PullError(f"{_MODULES_FILE} names {config!r:.80}, which is not there")
            files.append(config)
    return files


def _template(folder: Path, configs: Mapping[str, Mapping[str, Any]]) -> str:
    file = folder / _TEMPLATE_FILE
    if file.is_file():
        return read_record(file).decode("utf-8", errors="replace")
    template = configs.get("tokenizer_config.json", {}).get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else ""


def _license(folder: Path) -> str:
    """Read the licence from the head of the model's card, where there is one."""
    card = folder / _CARD_FILE
    if not card.is_file():
        return ""
    head = read_record(card).decode("utf-8", errors="replace").partition("\n---")[0]
    found = (
        re.search(r"^license:[ \t]*([\w.+-]+)[ \t]*$", head, re.MULTILINE) if head.startswith("---") else None
    )
    return found[1] if found else ""


def _move_weights(download: Path, folder: Path, weights: Sequence[SourceWeight], progress: Progress) -> int:
    """Take over the files of weights as they are; give the bytes of the weights."""
    index = [_INDEX_FILE] if (download / _INDEX_FILE).is_file() else []
    names = [*_shards(download), *index]
    total = sum(regular_size(download / name) or 0 for name in names)
    _move(download, folder, names)
    progress(total, total)
    return sum(weight.stored_bytes for weight in weights)


def _move(download: Path, folder: Path, names: Sequence[str]) -> None:
    for name in names:
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        (download / name).rename(target)


def _read_object(path: Path) -> dict[str, Any]:
    content = _read_json(path)
    if not isinstance(content, dict):
        raise PullError(f"{path.name} holds {content!r:.80}, expected an object")
    return content


def _read_json(path: Path) -> object:
    try:
        content: object = json.loads(read_record(path))
    except (ValueError, RecursionError) as error:
        raise PullError(f"{path.name} cannot be read: {error}") from error
    except StoreError as error:
        raise PullError(error.message) from error
    return content
