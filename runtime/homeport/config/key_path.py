"""Where a setting stands in the tree, and how that is written."""

import json
import re

KeyPath = tuple[str | int, ...]
"""Keys of tables and places in arrays, from the top: ``("routes", "llama3.2:3b", "models", 0)``."""

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def dotted(path: KeyPath) -> str:
    """Write a path as a TOML key, places in arrays in brackets: ``routes."llama3.2:3b".models[0]``."""
    parts = []
    for key in path:
        if isinstance(key, int):
            parts.append(f"[{key}]")
        else:
            parts.append(f".{key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)}")
    return "".join(parts).removeprefix(".")
