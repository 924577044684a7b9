"""Uploaded files of a model: what they may be called, and where they lie while it is made."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from homeport.domain.errors import BlobNotFoundError, InvalidRequestError
from homeport.models.blobs import Blobs
from homeport.models.definition import DEFINITION_FILE

_GGUF = ".gguf"
_SAFETENSORS = ".safetensors"
_MAGIC = b"GGUF"
_MAX_FILES = 1024
_MODEL_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}){0,2}")


def check_files(files: Mapping[str, str], blobs: Blobs) -> None:
    """Check that files are there and can be those of a model; blocks.

    Args:
        files: Digests by name.
        blobs: Where they are.

    Raises:
        InvalidRequestError: One is not there, has an impossible name or is of an unknown kind.
    """
    if not files:
        raise InvalidRequestError("no files provided to convert", field="files")
    if len(files) > _MAX_FILES:
        message = f"files has {len(files)} entries, at most {_MAX_FILES} are taken"
        raise InvalidRequestError(message, field="files")
    for name in files:
        if not _is_below(name):
            raise InvalidRequestError("file path must be relative", field="files")
    try:
        heads = {name: blobs.head(digest, len(_MAGIC)) for name, digest in files.items()}
    except BlobNotFoundError as error:
        raise InvalidRequestError(error.message, field="files") from error
    if any(name.endswith(_SAFETENSORS) for name in files):
        return
    named = [name for name in files if name.lower().endswith(_GGUF)]
    if any(heads[name] != _MAGIC for name in named):
        raise InvalidRequestError("supplied file was not in GGUF format", field="files")
    found = [name for name, head in heads.items() if head == _MAGIC]
    if not found:
        raise InvalidRequestError("unknown type", field="files")
    if len(found) > 1:
        message = f"{len(found)} GGUF files were given, one can be converted"
        raise InvalidRequestError(message, field="files", hint="merge them with: llama-gguf-split --merge")


def lay_out(files: Mapping[str, str], blobs: Blobs, folder: Path) -> bool:
    """Give the files names of their own in a new folder, as a source of models leaves them; blocks.

    Returns:
        Whether it is one GGUF file.

    Raises:
        InvalidRequestError: One has gone meanwhile.
    """
    folder.mkdir()
    is_folder = any(name.endswith(_SAFETENSORS) for name in files)
    try:
        for name, digest in files.items():
            if is_folder and _MODEL_FILE.fullmatch(name) and name != DEFINITION_FILE:
                blobs.lend(digest, folder / name)
            elif not is_folder and blobs.head(digest, len(_MAGIC)) == _MAGIC:
                blobs.lend(digest, folder / "model.gguf")
    except BlobNotFoundError as error:
        raise InvalidRequestError(error.message, field="files") from error
    return not is_folder


def _is_below(name: str) -> bool:
    """Say whether a name stays in its folder, whatever system reads it."""
    windows, posix = PureWindowsPath(name), PurePosixPath(name)
    is_rooted = bool(windows.drive or windows.root or posix.is_absolute())
    return bool(name) and not is_rooted and ".." not in {*windows.parts, *posix.parts} and "\0" not in name
