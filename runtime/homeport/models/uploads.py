"""Uploaded files as a source of models, for the process that converts them."""

import importlib
from pathlib import Path

import attrs

from homeport.domain.errors import PullError
from homeport.plugin.protocols import Artifact, FetchProgress


@attrs.frozen(kw_only=True)
class UploadedFolder:
    """Where the files are.

    Attributes:
        path: A folder on the disk of the store that is given up: its files are moved out of it.
    """

    path: str


class UploadSource:
    """Hands over a folder of files; it locates nothing by name."""

    def __init__(self, folder: UploadedFolder) -> None:
        self._folder = Path(folder.path)

    def locate(self, _: str) -> Artifact | None:
        """Know no names."""
        return None

    def fetch(self, _: Artifact, into: Path, progress: FetchProgress) -> None:
        """Move the files, and tell the precision of their weights in the place of a digest.

        Raises:
            PullError: A file of weights is damaged.
        """
        for path in sorted(self._folder.iterdir()):
            path.rename(into / path.name)
        importing = importlib.import_module("homeport.models.conversion.importing")
        try:
            precision: str = importing.precision_of(into)
        except OSError as error:
            raise PullError(f"the files cannot be read: {error.strerror}") from error
        progress(precision, 1, 1)
