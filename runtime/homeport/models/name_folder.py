"""The folder of names: which entry of the store each of them means."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import attrs
from loguru import logger

from homeport.domain.errors import InvalidRequestError, StoreError
from homeport.models.durable import read_record
from homeport.models.names import ModelName
from homeport.models.records import decode_record
from homeport.models.store_faults import damaged

_MAX_FILE_NAME_BYTES = 255
_RECORD_SUFFIX = ".json"


@attrs.frozen(kw_only=True)
class NameRecord:
    """Which entry a name means: one JSON file.

    Attributes:
        name: In full.
        digest: Of the entry, 64 hexadecimal digits.
        modified_at: When the name was given, in UTC.
    """

    name: str
    digest: str = attrs.field(validator=attrs.validators.matches_re(r"[0-9a-f]{64}"))
    modified_at: datetime


class NameFolder:
    """Records of names, ``<host>/<namespace>/<model>/<tag>.json``.

    Args:
        folder: Need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: ModelName) -> Path | None:
        """Where the record of a name is; None where no disk can hold it."""
        parts = (name.host, name.namespace, name.model, f"{name.tag}{_RECORD_SUFFIX}")
        if max(len(part) for part in parts) > _MAX_FILE_NAME_BYTES:
            return None
        return self._folder.joinpath(*(part.lower() for part in parts))

    def files(self) -> Iterator[tuple[Path, ModelName]]:
        """Give every record with its name; what is no name is passed over."""
        for path in self._paths():
            host, namespace, model, tag = path.relative_to(self._folder).parts
            with suppress(InvalidRequestError):
                yield (
                    path,
                    ModelName(
                        host=host, namespace=namespace, model=model, tag=tag.removesuffix(_RECORD_SUFFIX)
                    ),
                )

    def digests(self) -> set[str] | None:
        """List entries that a name means; None while a record cannot be read, as it may mean any."""
        named: set[str] = set()
        for path, name in self.files():
            try:
                named.add(decode_record(NameRecord, read_record(path)).digest)
            except (OSError, StoreError) as error:
                logger.warning("kept unnamed entries, the record of {} is damaged: {}", name.display, error)
                return None
        return named

    def drop_empty(self, path: Path) -> None:
        """Remove the folders that the record at a path was the last in."""
        for folder in path.relative_to(self._folder).parents[:-1]:
            with suppress(OSError):
                (self._folder / folder).rmdir()

    def _paths(self) -> Sequence[Path]:
        while True:
            with suppress(FileNotFoundError):  # a delete removed a folder meanwhile: look again
                return sorted(self._folder.glob(f"*/*/*/*{_RECORD_SUFFIX}"))


def name_record(path: Path, name: ModelName) -> bytes | None:
    """Read the record of a name; None where it is gone.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        return read_record(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, StoreError) as error:
        raise damaged(name, str(error)) from error
