"""Where manifests lie in Ollama's store, and the names that their places mean."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import attrs

_HOST = "registry.ollama.ai"
_NAMESPACE = "library"
_DEPTH = 4
_MOST_OWNER_PARTS = 2
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_MOST_ENTRIES = 10_000


@attrs.frozen(kw_only=True)
class ManifestFile:
    """One manifest on disk.

    Attributes:
        parts: Host, namespace, model and tag, as the folders are called.
        path: Where it is.
        mtime_ns: When it was changed last.
        size: Bytes.
    """

    parts: tuple[str, ...]
    path: Path
    mtime_ns: int
    size: int


def manifest_files(folder: Path, parts: tuple[str, ...] = ()) -> Iterator[ManifestFile]:
    """Walk ``<host>/<namespace>/<model>/<tag>``; links and what may not be read are left out."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(islice(entries, _MOST_ENTRIES), key=lambda entry: entry.name)
    except OSError:
        return
    is_last = len(parts) == _DEPTH - 1
    for entry in listed:
        if not _PART.fullmatch(entry.name):
            continue
        place = (*parts, entry.name)
        try:
            if not is_last and entry.is_dir(follow_symlinks=False):
                yield from manifest_files(Path(entry.path), place)
            elif is_last and entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                yield ManifestFile(
                    parts=place, path=Path(entry.path), mtime_ns=status.st_mtime_ns, size=status.st_size
                )
        except OSError:
            continue


def displayed(parts: tuple[str, ...]) -> str | None:
    """Write a name in short, as Ollama lists it; None where it is no name."""
    host, namespace, model, tag = parts
    owner = f"{host}/{namespace}/" if host != _HOST else "" if namespace == _NAMESPACE else f"{namespace}/"
    name = f"{owner}{model}:{tag}"
    return name if parsed(name) == tuple(part.lower() for part in parts) else None


def parsed(name: str) -> tuple[str, ...] | None:
    """Read a name in lower case, with its defaults; None where it is none."""
    *owner, last = name.strip().lower().split("/")
    model, colon, tag = last.partition(":")
    if len(owner) > _MOST_OWNER_PARTS:
        return None
    host = owner[0] if len(owner) == _MOST_OWNER_PARTS else _HOST
    namespace = owner[-1] if owner else _NAMESPACE
    parts = (host, namespace, model, tag if colon else "latest")
    is_sound = all(_PART.fullmatch(part) for part in parts) and not any(":" in part for part in parts[1:])
    return parts if is_sound else None
