"""The files that a Modelfile names, which a client uploads before a model is made of them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from homeport.cli.modelfile import ModelfileError

_KEPT = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "README.md", "LICENSE*")
"""Of a folder; weights, their configuration, tokenizer, template, card and licence."""
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_GGUF = ".gguf"
_PATH = re.compile(r"^(?:\.{0,2}/|~|\.{1,2}$|[A-Za-z]:\\)|\.(?:gguf|safetensors|bin)$", re.IGNORECASE)
"""What can only be meant as a path: ``./folder``, ``/folder``, ``~/folder``, ``weights.gguf``."""


def files_of(source: str, folder: Path) -> Mapping[str, Path]:
    """List the files that a value of ``FROM`` names, by the names they shall have; none for a model.

    Args:
        source: The value.
        folder: Where the Modelfile lies; relative paths begin there.

    Raises:
        ModelfileError: It is a path that leads nowhere, or to no model.
    """
    path = folder / Path(source).expanduser()
    is_path = _PATH.search(source) is not None
    if path.is_file() and (is_path or path.suffix):
        if path.suffix.lower() != _GGUF:
            raise ModelfileError(
                f"FROM {source!r} is no .gguf file",
                hint="Name a .gguf file, a folder of safetensors, or a model",
            )
        return {path.name: path}
    if path.is_dir():
        found = dict(_of_folder(path))
        if any(name.endswith((".safetensors", _GGUF)) for name in found):
            return found
        if is_path:
            raise _no_weights(source, path)
    elif is_path:
        raise ModelfileError(
            f"FROM {source!r} names a path, and there is nothing at {str(path)!r}",
            hint="Relative paths begin where the Modelfile lies",
        )
    return {}


def _of_folder(folder: Path) -> Iterator[tuple[str, Path]]:
    """List the files of a model; a folder with one GGUF file is that file."""
    quantised = sorted(path for path in folder.iterdir() if path.suffix.lower() == _GGUF and path.is_file())
    if len(quantised) == 1 and not any(folder.glob("*.safetensors")):
        yield quantised[0].name, quantised[0]
        return
    for pattern in _KEPT:
        for path in sorted(folder.glob(pattern)):
            if path.is_file():
                yield path.name, path
    # Sentence models keep the configuration of their pooling one folder below.
    for path in sorted(folder.glob("*/config.json")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


def _no_weights(source: str, folder: Path) -> ModelfileError:
    pickles = [path.name for pattern in _PICKLES for path in folder.glob(pattern)]
    if pickles:
        return ModelfileError(
            f"FROM {source!r} holds {pickles[0]!r}, a pickle, which can run code when it is read",
            hint="Convert its weights to safetensors or GGUF first",
        )
    return ModelfileError(
        f"FROM {source!r} holds neither safetensors nor one .gguf file",
        hint="Name a .gguf file, a folder of safetensors, or a model",
    )
