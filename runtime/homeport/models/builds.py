"""The folder of builds: what backends made of stored models, each below its key with a record of its own."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from loguru import logger

from homeport.domain.errors import StoreError
from homeport.models.build_record import BUILD_FILE, Build, BuildRecord
from homeport.models.durable import read_record, remove, write_record
from homeport.models.entry import check_entry, hash_fault, place_entry
from homeport.models.records import decode_record, encode_record


class Builds:
    """Finished builds on disk.

    What changes the folder is called by those who hold the lock of the store. A worker that has files of a
    removed build open keeps them until it closes them.

    Args:
        folder: Need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told: set[str] = set()

    def find(self, key: str) -> Build | None:
        """Find a build whose files are there; None where there is none, or a damaged one, which is logged."""
        folder = self._folder / key
        try:
            record = self._read(folder)
            check_entry(folder, record.files, BUILD_FILE)
        except (FileNotFoundError, NotADirectoryError):
            if not folder.exists():
                return None
            self._tell_damage(key, f"{BUILD_FILE} is missing")
        except OSError as error:
            self._tell_damage(key, error.strerror or repr(error))
        except StoreError as error:
            self._tell_damage(key, error.message)
        else:
            return Build(record=record, folder=folder)
        return None

    def record(self, key: str) -> BuildRecord:
        """Read the record of a build, damaged or not.

        Raises:
            StoreError: It is damaged itself.
            OSError: The disk refuses.
        """
        return self._read(self._folder / key)

    def verify(self, build: Build) -> None:
        """Hash every file of a build and compare with its record.

        Raises:
            StoreError: A file differs.
        """
        try:
            fault = hash_fault(build.folder, build.record.files, {})
        except OSError as error:
            fault = f"{error.filename}: {error.strerror}"
        if fault:
            raise StoreError(f"build {build.record.key} is damaged: {fault}")

    def note_load(self, build: Build) -> None:
        """Remember that a build is loaded; blocks. A disk that is only read forgets, and keeps all builds."""
        with suppress(OSError):
            os.utime(build.folder / BUILD_FILE)

    def idle_seconds(self, key: str) -> float:
        """Say how long ago a build was made or last loaded, by the system's clock."""
        return time.time() - (self._folder / key / BUILD_FILE).stat().st_mtime

    def place(self, staged: Path, record: BuildRecord, *, replaces: bool = False) -> Build:
        """Turn a staged folder into a build, unless another process made the same meanwhile.

        One that is replaced, and a damaged one, gives way as a whole. Builds of the same model by earlier
        versions of the same builder go: nothing asks for them any more.

        Raises:
            StoreError: The folder and the record differ.
            OSError: The disk refuses.
        """
        found = None if replaces else self.find(record.key)
        if found is not None:
            return found
        folder = self._folder / record.key
        check_entry(staged, record.files, BUILD_FILE)
        write_record(staged / BUILD_FILE, encode_record(record))
        self.drop(record.key)
        place_entry(staged, folder, record.files, BUILD_FILE)
        self._told.discard(record.key)
        self.sweep(lambda other: not _is_outdated(other, record))
        return Build(record=record, folder=folder)

    def drop(self, key: str) -> None:
        """Remove a build, whole or damaged; nothing where there is none."""
        remove(self._folder / key)

    def is_empty(self) -> bool:
        """Say whether there is none, not even a damaged one."""
        return not any(self._folder.glob("*"))

    def keys(self) -> Sequence[str]:
        """List what is there, damaged builds too."""
        return sorted(folder.name for folder in self._folder.glob("*"))

    def sweep(self, stays: Callable[[BuildRecord], bool]) -> None:
        """Remove builds, and damaged ones.

        Args:
            stays: Says whether one is kept.
        """
        for key, cause in self.unwanted(stays).items():
            logger.info("build {} is removed: {}", key, cause)
            self.drop(key)

    def unwanted(self, stays: Callable[[BuildRecord], bool]) -> Mapping[str, str]:
        """List keys of what a sweep would remove, and why.

        Args:
            stays: Says whether one is kept; what the disk refuses it while it looks keeps the build too.
        """
        found: dict[str, str] = {}
        for folder in self._folder.glob("*"):
            try:
                record = self._read(folder)
                if not stays(record):
                    found[folder.name] = f"no setting of {record.backend} asks for it any more"
            except (StoreError, FileNotFoundError, NotADirectoryError) as error:
                found[folder.name] = f"it is damaged: {error}"
            except OSError as error:
                logger.warning("build {} cannot be read and is kept: {}", folder.name, error)
        return found

    def _read(self, folder: Path) -> BuildRecord:
        if folder.is_symlink():
            raise StoreError("its folder is a symbolic link")
        record = decode_record(BuildRecord, read_record(folder / BUILD_FILE))
        if record.key != folder.name:
            raise StoreError(f"its record is of another build, {record.key}")
        return record

    def _tell_damage(self, key: str, cause: str) -> None:
        """Log damage once: every listing of models looks at it."""
        if key not in self._told:
            self._told.add(key)
            logger.warning("build {} is damaged and will be made anew: {}", key, cause)


def _is_outdated(other: BuildRecord, record: BuildRecord) -> bool:
    is_kin = (other.source, other.builder) == (record.source, record.builder)
    return is_kin and other.builder_version < record.builder_version
