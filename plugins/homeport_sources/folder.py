"""Models in folders that the settings name."""

import os
import shutil
from pathlib import Path

from homeport import Artifact, FetchProgress, PullError
from homeport_sources.config import FolderConfig
from homeport_sources.published import choose_files

_DEFAULT_TAG = ":latest"
_OWNED = "/"
"""In names of the form OWNER/NAME."""


class Folder:
    """Copies models from folders, and only from those that ``[plugins.folder]`` names.

    Args:
        config: Which names mean which folders.
    """

    def __init__(self, config: FolderConfig | None = None) -> None:
        config = config or FolderConfig()
        self._paths = {_key(name): Path(path).expanduser() for name, path in config.models.items()}

    def locate(self, locator: str) -> Artifact | None:
        """Recognise the names of the settings.

        Raises:
            PullError: The folder of such a name is missing, or holds no model, or none of that tag.
        """
        found = self._find(locator)
        if found is None:
            return None
        size = sum(file.stat().st_size for file in _chosen(*found, locator).values())
        return Artifact(source="folder", locator=locator, size_bytes=size)

    def fetch(self, artifact: Artifact, into: Path, progress: FetchProgress) -> None:
        """Copy what is needed of the folder.

        Raises:
            PullError: The folder is missing, or holds no model, or none of that tag.
        """
        found = self._find(artifact.locator)
        if found is None:
            raise PullError(
                f"no folder is set for {artifact.locator!r}", hint="set it in [plugins.folder] models"
            )
        done = 0
        for name, file in _chosen(*found, artifact.locator).items():
            target = into / name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target)
            done += target.stat().st_size
            progress(artifact.locator, done, artifact.size_bytes)

    def _find(self, locator: str) -> tuple[Path, str] | None:
        """Give the folder that a name means, and the file in it that its tag asks for; empty where none does.

        ``mine:q4`` means a folder that is set for it, or model_q4.onnx in the one that is set for ``mine``.
        Other tags of ``mine`` may be models of other sources, as ``smollm2:135m`` is; behind a name such as
        ``house/mine`` nobody else has them but a stranger on the hub, so they are the folder's to refuse.
        """
        key = _key(locator)
        name, _, tag = key.partition(":")
        path = self._paths.get(key)
        if path is not None:
            return path, tag if tag and _has(path, tag) else ""
        shared = self._paths.get(name)
        if shared is None or not tag:
            return None
        return (shared, tag) if _OWNED in name or _has(shared, tag) else None


def _key(name: str) -> str:
    return name.strip().lower().removesuffix(_DEFAULT_TAG)


def _chosen(path: Path, quant: str, name: str) -> dict[str, Path]:
    """Map the files of a model to where they are: a GGUF file itself, or those needed of a folder.

    Raises:
        PullError: There is nothing at the path, or no such model.
    """
    if not _is_there(path):
        raise PullError(
            f"the folder that is set for {name!r} is missing, or may not be read",
            hint="Put it there, or correct [plugins.folder] models: `homeport config check` names the path",
        )
    files = _files(path)
    try:
        return {chosen: files[chosen] for chosen in choose_files(list(files), quant)}
    except PullError as error:
        lacks = f"the folder that is set for {name!r} has no {quant!r} model" if quant else ""
        told = lacks or f"the folder that is set for {name!r}"
        raise PullError(f"{told}: {error.message}", hint=error.hint) from error


def _has(path: Path, quant: str) -> bool:
    """Say whether there is a file of a precision."""
    try:
        return _is_there(path) and bool(choose_files(list(_files(path)), quant))
    except PullError:
        return False


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - pathlib raises where a parent may not be read


def _files(path: Path) -> dict[str, Path]:
    root = path if path.is_dir() else path.parent
    found = path.rglob("*") if path.is_dir() else [path]
    return {file.relative_to(root).as_posix(): file for file in sorted(found) if file.is_file()}
