"""Settings of Ollama's model store as a source, ``[plugins.ollama-store]``."""

from collections.abc import Iterator
from pathlib import Path

import attrs

from homeport import setting

_USUAL_FOLDERS = ("~/.ollama/models", "/usr/share/ollama/.ollama/models")
"""Where Ollama keeps models for the user who starts it, and where its service on Linux does."""


def _absent(folder: str | None) -> Iterator[tuple[tuple[str, ...], str]]:
    if folder is not None and not _is_folder(_expanded(folder)):
        yield (), f"{folder!r} is no folder, or cannot be entered"


@attrs.frozen(kw_only=True)
class OllamaStoreConfig:
    """Whether and where models of Ollama are read in place.

    Attributes:
        enabled: Whether at all.
        folder: The folder with ``manifests`` and ``blobs``; None looks where Ollama usually keeps them. It is
            only ever read.
    """

    enabled: bool = setting(True, "list and use the models that an Ollama on this machine has downloaded")
    folder: str | None = setting(
        None,
        "Ollama's folder of models; unset is ~/.ollama/models, else that of its service",
        env=("OLLAMA_MODELS",),
        doubts=_absent,
    )

    @property
    def root(self) -> Path | None:
        """The folder to read; None where there is none."""
        if self.folder is not None:
            return _expanded(self.folder)
        places = (_expanded(place) for place in _USUAL_FOLDERS)
        return next((place for place in places if _is_folder(place / "manifests")), None)


def _expanded(folder: str) -> Path:
    path = Path(folder)
    try:
        return path.expanduser()
    except RuntimeError:  # the home of a user who does not exist
        return path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # in a folder that may not be entered
        return False
