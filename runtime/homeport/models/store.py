"""The model store: names that point to entries, entries that hold converted models.

Layout below the root::

    names/<host>/<namespace>/<model>/<tag>.json     which entry a name means
    entries/<digest>/manifest.json, config.json, *.safetensors, tokenizer.json ...
    incoming/<job>/                                 a pull at work; its lock file stands beside it
    blobs/sha256-<digest>                           an uploaded file that waits for the model it is for
    builds/<key>/build.json ...                     what a backend made of an entry, and loads in its place

A model that was made from another one has an entry of its own, whose files are hard links where they are
the same: weights are on disk once, and go with the last entry that has them. So do builds.

Nothing appears under its final name before it is whole and on disk. Methods block on files: an event
loop calls them through a thread.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from loguru import logger

from homeport.domain.errors import InvalidRequestError, ModelNotFoundError, StoreError
from homeport.models.build_recipe import source_of
from homeport.models.build_record import Build, BuildRecord
from homeport.models.builds import Builds
from homeport.models.durable import read_record, remove, sync, write_record
from homeport.models.entry import check_entry, hash_fault, place_entry
from homeport.models.incoming import Incoming
from homeport.models.manifest import MANIFEST_FILE, Manifest, ModelFile
from homeport.models.name_folder import NameFolder, NameRecord, name_record
from homeport.models.names import ModelName
from homeport.models.records import decode_record, encode_record
from homeport.models.store_faults import ROOM_HINT, damaged
from homeport.models.stored_model import StoredModel, StoreProblem, Survey

_LOCK_FILE = ".lock"
_UNUSED_SECONDS = 7 * 24 * 3600
"""A build of other settings goes when nobody loaded it for so long."""


class ModelStore:
    """Models on disk below ``root``, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names = NameFolder(root / "names")
        self._entries = root / "entries"
        self._incoming = Incoming(root / "incoming")
        self._builds = Builds(root / "builds")

    @property
    def root(self) -> Path:
        """The folder that holds everything."""
        return self._root

    @property
    def builds(self) -> Builds:
        """What backends made of the models; only looked at from outside."""
        return self._builds

    def find(self, name: ModelName) -> StoredModel | None:
        """Look a name up; None where the store does not have it.

        Raises:
            StoreError: It has the name, but the entry is damaged.
        """
        path = self._names.path(name)
        return None if path is None else self._read(path, name)

    def has(self, name: ModelName) -> bool:
        """Say whether the store has a name, be its entry damaged or not."""
        path = self._names.path(name)
        return path is not None and os.path.lexists(path)

    def has_further_names(self, name: ModelName) -> bool:
        """Say whether another name means the entry that this one means; False where it is damaged."""
        with suppress(StoreError):
            model = self.find(name)
            if model is not None:
                return any(each.digest == model.digest and each.name != name for each in self.entries())
        return False

    def survey(self) -> Survey:
        """Read all names, good and bad."""
        models: list[StoredModel] = []
        problems: list[StoreProblem] = []
        for path, name in self._names.files():
            try:
                model = self._read(path, name)
            except StoreError as error:
                problems.append(StoreProblem(name, error))
            else:
                models.extend([] if model is None else [model])
        models.sort(key=lambda model: (-model.modified_at.timestamp(), model.name.display))
        return Survey(tuple(models), tuple(problems))

    def entries(self) -> Sequence[StoredModel]:
        """List the models that can be used, newest first."""
        return self.survey().models

    def revision(self) -> int:
        """Give a number that changes with every commit and delete, by this process or another."""
        try:
            return (self._root / _LOCK_FILE).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def verify(self, model: StoredModel, hashed: MutableMapping[tuple[int, int], str] | None = None) -> None:
        """Hash every file of a model and compare with its manifest.

        Args:
            model: Which one.
            hashed: SHA-256 of files by device and inode, read and written: models that were made from one
                another share files, which are read once.

        Raises:
            StoreError: A file differs; names the model, the file and the command that mends it.
        """
        try:
            fault = hash_fault(model.folder, model.manifest.files, {} if hashed is None else hashed)
        except OSError as error:
            fault = f"{error.filename}: {error.strerror}"
        if fault:
            raise damaged(model.name, fault, model.manifest)

    def free_bytes(self) -> int:
        """Bytes that the disk of the store has left for us."""
        folder = self._root
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Lend an empty folder on the store's own disk; whatever is left in it goes on exit.

        Folders that a killed process left behind are removed on the way in.

        Raises:
            StoreError: The store cannot be written.
        """
        with self._locked():
            self._incoming.sweep()
            job = self._incoming.open_job()
        try:
            yield job.folder
        finally:
            job.close()

    def commit(self, staged: Path, manifest: Manifest, names: Sequence[ModelName]) -> StoredModel:
        """Turn a staged folder into an entry and let names point to it.

        An entry of the same digest is overwritten file by file, which mends a damaged one.

        Args:
            staged: A folder below one lent by ``staging`` with exactly the files of the manifest.
            manifest: Describes it.
            names: At least one; each is taken over from the entry it meant before.

        Raises:
            StoreError: The folder and the manifest differ, or the disk refuses.
        """
        paths = [self._names.path(name) for name in names]
        if None in paths:
            raise StoreError(
                f"a model name is longer than a file name may be: {names[paths.index(None)].full!r}"
            )
        folder = self._entries / manifest.digest
        now = datetime.now(UTC)
        with self._locked():
            check_entry(staged, manifest.files)
            write_record(staged / MANIFEST_FILE, manifest.encode())
            place_entry(staged, folder, manifest.files)
            for name, path in zip(names, filter(None, paths), strict=True):
                record = NameRecord(name=name.full, digest=manifest.digest, modified_at=now)
                write_record(path, encode_record(record))
            self._drop_unnamed()
        return StoredModel(
            name=names[0],
            manifest=manifest,
            digest=manifest.digest,
            folder=folder,
            modified_at=now,
            size=manifest.size,
        )

    def place_build(self, staged: Path, record: BuildRecord, *, replaces: bool = False) -> Build:
        """Turn a staged folder into a build, which goes with the last entry of its source.

        Args:
            staged: A folder below one lent by ``staging`` with exactly the files of the record.
            record: Describes it.
            replaces: Whether it takes the place of an equal one.

        Raises:
            StoreError: The folder and the record differ, or the disk refuses.
        """
        with self._locked():
            build = self._builds.place(staged, record, replaces=replaces)
            self._drop_unnamed()
        return build

    def sweep_builds(self, backend: str, key: Callable[[tuple[ModelFile, ...]], str]) -> None:
        """Remove what a backend built by other settings, or what earlier versions of its builder left.

        What was loaded within a week stays: settings are tried and taken back, and other servers have others.
        While a manifest cannot be read only damaged builds go; where nothing has to go nothing is written. A
        worker that has files of such a build open keeps them.

        Args:
            backend: Whose builds; those of others stay.
            key: Names the build that the backend would load of a model with such files.

        Raises:
            StoreError: The disk refuses.
        """
        if not self._builds.unwanted(self._would_load(backend, key)):
            return
        with self._locked():
            self._builds.sweep(self._would_load(backend, key))  # models may have come meanwhile

    def drop_build(self, key: str) -> None:
        """Remove a build, for it is damaged.

        Raises:
            StoreError: The disk refuses.
        """
        with self._locked():
            self._builds.drop(key)

    def give_name(self, model: StoredModel, name: ModelName) -> None:
        """Let a further name mean the entry of a model; nothing is copied.

        Raises:
            ModelNotFoundError: The entry has gone meanwhile.
            StoreError: The disk refuses, or cannot hold the name.
        """
        path = self._names.path(name)
        if path is None:
            raise StoreError(f"a model name is longer than a file name may be: {name.full!r}")
        record = NameRecord(name=name.full, digest=model.digest, modified_at=datetime.now(UTC))
        with self._locked():
            if not (model.folder / MANIFEST_FILE).is_file():
                raise ModelNotFoundError(model.name.display)
            write_record(path, encode_record(record))
            self._drop_unnamed()

    def delete(self, name: ModelName) -> None:
        """Forget a name, damaged or not; weights go with their last name.

        Raises:
            ModelNotFoundError: The store does not have the name.
            StoreError: The disk refuses.
        """
        path = self._names.path(name)
        if path is None or not os.path.lexists(path):
            raise ModelNotFoundError(name.display)
        with self._locked():
            try:
                path.unlink()
            except FileNotFoundError as error:  # another delete held the lock before
                raise ModelNotFoundError(name.display) from error
            sync(path.parent)
            self._names.drop_empty(path)
            self._drop_unnamed()

    def _read(self, path: Path, name: ModelName) -> StoredModel | None:
        """Read what a name means; a fault counts only while the record that led to it stands.

        A commit or delete may drop the entry after its record was read.
        """
        while (record_data := name_record(path, name)) is not None:
            try:
                return self._read_entry(path, name, record_data)
            except StoreError:
                if name_record(path, name) == record_data:
                    raise
        return None

    def _read_entry(self, path: Path, name: ModelName, record_data: bytes) -> StoredModel:
        manifest = None
        try:
            self._refuse_links(path)
            record = decode_record(NameRecord, record_data)
            folder = self._entries / record.digest
            self._refuse_links(folder)
            manifest = Manifest.decode(read_record(folder / MANIFEST_FILE))
            check_entry(folder, manifest.files)
            given_name = ModelName.parse(record.name)
        except OSError as error:
            raise damaged(name, f"{error.filename}: {error.strerror}", manifest) from error
        except (StoreError, InvalidRequestError) as error:
            raise damaged(name, error.message, manifest) from error
        if given_name != name or manifest.digest != record.digest:
            raise damaged(name, f"its record says {given_name.display}, its manifest {manifest.digest}")
        return StoredModel(
            name=given_name,
            manifest=manifest,
            digest=record.digest,
            folder=folder,
            modified_at=record.modified_at,
            size=manifest.size,
        )

    def _refuse_links(self, path: Path) -> None:
        if path.resolve() != self._root.resolve() / path.relative_to(self._root):
            raise StoreError(f"{path} is, or lies behind, a symbolic link")

    def _drop_unnamed(self) -> None:
        """Remove entries that no name means, and builds of no entry."""
        named = self._names.digests()
        if named is None:
            return
        for folder in self._entries.glob("*"):
            if folder.name not in named:
                remove(folder)
        manifests = None if self._builds.is_empty() else self._manifests(named)
        if manifests is not None:
            sources = {source_of(manifest.files) for manifest in manifests}
            self._builds.sweep(lambda record: record.source in sources)

    def _would_load(
        self, backend: str, key: Callable[[tuple[ModelFile, ...]], str]
    ) -> Callable[[BuildRecord], bool]:
        """Tell what ``sweep_builds`` keeps: what is or might be loaded, and all of other backends."""
        named = None if self._builds.is_empty() else self._names.digests()
        manifests = None if named is None else self._manifests(named)
        if manifests is None:
            return lambda _: True
        loaded = {key(manifest.files) for manifest in manifests}
        return lambda record: (
            record.backend != backend
            or record.key in loaded
            or self._builds.idle_seconds(record.key) < _UNUSED_SECONDS
        )

    def _manifests(self, digests: Iterable[str]) -> list[Manifest] | None:
        """Read manifests; None while one cannot be read, as any build may be of it."""
        manifests: list[Manifest] = []
        for digest in digests:
            try:
                manifests.append(Manifest.decode(read_record(self._entries / digest / MANIFEST_FILE)))
            except (OSError, StoreError) as error:
                logger.warning("kept all builds, the manifest of {} is damaged: {}", digest, error)
                return None
        return manifests

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the store against other processes and threads, and name it in errors of the disk."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with (self._root / _LOCK_FILE).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                try:
                    yield
                finally:
                    os.utime(lock.fileno())
        except OSError as error:
            raise StoreError(
                f"cannot write to the model store {self._root}: {error.strerror}",
                hint=ROOM_HINT,
            ) from error
