"""Models in folders that the settings name."""

import shutil
from pathlib import Path

from homeport import Artifact, FetchProgress, PullError
from homeport_sources.config import FolderConfig
from homeport_sources.published import choose_files

_DEFAULT_TAG = ":latest"


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
            PullError: The folder of such a name is missing or holds no model.
        """
        path = self._paths.get(_key(locator))
        if path is None:
            return None
        size = sum(file.stat().st_size for file in _chosen(path, locator).values())
        return Artifact(source="folder", locator=locator, size_bytes=size)

    def fetch(self, artifact: Artifact, into: Path, progress: FetchProgress) -> None:
        """Copy what is needed of the folder.

        Raises:
            PullError: The folder is missing or holds no model.
        """
        path = self._paths.get(_key(artifact.locator))
        if path is None:
            raise PullError(
                f"no folder is set for {artifact.locator!r}", hint="set it in [plugins.folder] models"
            )
        done = 0
        for name, file in _chosen(path, artifact.locator).items():
            target = into / name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target)
            done += target.stat().st_size
            progress(artifact.locator, done, artifact.size_bytes)


def _key(name: str) -> str:
    return name.strip().lower().removesuffix(_DEFAULT_TAG)


def _chosen(path: Path, name: str) -> dict[str, Path]:
    """Map the files of a model to where they are: a GGUF file itself, or those needed of a folder."""
    root = path if path.is_dir() else path.parent
    found = path.rglob("*") if path.is_dir() else [path]
    files = {file.relative_to(root).as_posix(): file for file in sorted(found) if file.is_file()}
    try:
        return {chosen: files[chosen] for chosen in choose_files(list(files))}
    except PullError as error:
        raise PullError(f"the folder that is set for {name!r}: {error.message}", hint=error.hint) from error
