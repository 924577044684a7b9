"""A folder as models are published on the Hugging Face hub: checked, and reduced to what is needed."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from homeport.domain.errors import PullError, StoreError
from homeport.domain.models import Capability
from homeport.models.conversion.description import Description
from homeport.models.conversion.published_config import describe_config
from homeport.models.conversion.safetensors_file import Progress, read_safetensors_head
from homeport.models.conversion.sampling_defaults import from_generation_config
from homeport.models.durable import read_record, regular_size
from homeport.models.manifest import WeightsFormat

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
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.joblib")
_SHARD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors")
_POOLING_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_KNOWN_MODULES = frozenset({"Transformer", "Pooling", "Normalize"})
_CODE_KEY = "auto_map"
"""Names Python code beside the model; nothing of homeport follows it."""


def import_folder(download: Path, folder: Path, progress: Progress) -> Description:
    """Move the files of a published model into a folder of the store.

    Args:
        download: What a source left.
        folder: Where to; must exist, on the same disk.
        progress: Told the bytes taken over so far and in all.

    Raises:
        PullError: A file is missing, damaged, or of a kind that is refused.
    """
    configs = {name: _read_json(download / name) for name in _CONFIG_FILES if (download / name).is_file()}
    if "config.json" not in configs:
        raise PullError("the model has no config.json", hint="ask for a repository in Hugging Face layout, or a GGUF file")
    _check_tokenizer(download / _TOKENIZER_FILE)
    shards = _shards(download)
    heads = [read_safetensors_head(download / shard) for shard in shards]
    weights: dict[str, int] = {}
    for head in heads:
        for dtype, count in head.weights.items():
            weights[dtype] = weights.get(dtype, 0) + count
    pooling = _pooling_file(download)
    template = _template(download, configs)
    description = describe_config(
        configs["config.json"],
        is_sentence_model=pooling is not None,
        sentence_length=configs.get("sentence_bert_config.json", {}).get("max_seq_length"),
        weights=weights,
    )
    for name, content in configs.items():
        content.pop(_CODE_KEY, None)
        (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    optional = [_TEMPLATE_FILE, _INDEX_FILE, *([_MODULES_FILE, pooling] if pooling else [])]
    kept = [_TOKENIZER_FILE, *shards, *(name for name in optional if (download / name).is_file())]
    _move(download, folder, kept, progress)
    return Description(
        converted_from=WeightsFormat.SAFETENSORS,
        license=_license(download),
        template=template if Capability.COMPLETION in description.capabilities else "",
        parameters=from_generation_config(configs.get("generation_config.json", {})),
        **description.as_keywords(),
    )
