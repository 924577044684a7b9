"""What a model of Ollama's store says besides its weights, for the importer: ``definition.json``."""

import json
from collections.abc import Mapping

from homeport_ollama.store_manifest import (
    LICENSE,
    MESSAGES,
    PARAMETERS,
    SYSTEM,
    TEMPLATE,
    BadManifestError,
    Blobs,
    ModelFiles,
)

DEFINITION_FILE = "definition.json"

_MOST_MESSAGES = 1000
_ROLES = frozenset({"system", "user", "assistant"})


def definition_of(files: ModelFiles, blobs: Blobs) -> Mapping[str, object]:
    """Gather the layers that are no weights; keys that have none are left out.

    Returns:
        ``template`` (Go), ``system``, ``license``: texts; ``parameters``: an object of options;
        ``messages``: a list of objects with ``role`` and ``content``.

    Raises:
        BadManifestError: A layer is damaged, or is not what its kind says.
    """
    texts = {
        "template": _joined(files, blobs, TEMPLATE),
        "system": _joined(files, blobs, SYSTEM),
        "license": _joined(files, blobs, LICENSE),
    }
    found: dict[str, object] = {key: text for key, text in texts.items() if text.strip()}
    for key, kind, check in (
        ("parameters", PARAMETERS, _parameters),
        ("messages", MESSAGES, _messages),
    ):
        layers = files.of(kind)
        if layers and (value := check(_decoded(blobs.text(layers[-1]), key))):
            found[key] = value
    return found


def _joined(files: ModelFiles, blobs: Blobs, kind: str) -> str:
    return "\n".join(blobs.text(layer).decode(errors="replace") for layer in files.of(kind))


def _decoded(data: bytes, key: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadManifestError(f"its {key} are no JSON") from error


def _parameters(value: object) -> object:
    if not isinstance(value, dict):
        raise BadManifestError("its parameters are no object")
    return {key: each for key, each in value.items() if _is_option(each)}


def _is_option(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, str) for each in value)
    return isinstance(value, str | int | float | bool)


def _messages(value: object) -> object:
    rows = value if isinstance(value, list) else [None]
    if len(rows) > _MOST_MESSAGES:
        raise BadManifestError(f"{len(rows)} messages, allowed are {_MOST_MESSAGES}")
    return [_message(row) for row in rows]


def _message(row: object) -> Mapping[str, str]:
    if isinstance(row, dict):
        role, content = row.get("role"), row.get("content")
        if role in _ROLES and isinstance(content, str):
            return {"role": role, "content": content}
    raise BadManifestError("its messages are no list of objects with role and content")
