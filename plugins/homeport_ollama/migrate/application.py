"""Applying a plan, and taking it back: each file is replaced in one step, after all backups are on disk."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import attrs

from homeport import StoreError
from homeport_ollama.migrate.migrations import Entry, Journal, Migration, Step
from homeport_ollama.migrate.plan import PlannedFile, sha256
from homeport_ollama.migrate.project_file import ProjectFile, Standing, project_file

_HINT = "make a new plan with: homeport migrate plan FOLDER"

Told = Callable[[str], None]
"""Told the path of each file that was replaced."""


def apply(migration: Migration, told: Told = lambda _: None) -> int:
    """Edit the files of a plan; one that was applied before, wholly or in part, is completed.

    Args:
        migration: The plan; the caller holds the lock.
        told: Hears of each file.

    Returns:
        How many files were replaced.

    Raises:
        StoreError: A file was changed since the plan was made, or cannot be replaced. Nothing was changed.
    """
    plan = migration.plan
    with _opened(plan.root, [file.path for file in plan.files]) as opened:
        waiting = _waiting(migration, opened)
        journal = _begun(migration, waiting)
        places = {entry.path: place for place, entry in enumerate(journal.entries)}
        try:
            for planned, data, standing in waiting:
                name = _staged(migration, places[planned.path])
                opened[planned.path].stage(name, planned.applied_to(data), standing)
            for planned, _, _ in waiting:
                opened[planned.path].replace(_staged(migration, places[planned.path]))
                told(planned.path)
        except StoreError:
            _take_back(migration, journal, opened)
            raise
        migration.write_journal(attrs.evolve(journal, step=Step.APPLIED))
    return len(waiting)


def roll_back(migration: Migration, told: Told = lambda _: None, *, force: bool = False) -> int:
    """Restore the files of a plan byte for byte, also after an ``apply`` that was killed.

    Args:
        migration: The plan; the caller holds the lock.
        told: Hears of each file.
        force: Also restore files that somebody changed or removed after the plan was applied.

    Returns:
        How many files were restored.

    Raises:
        StoreError: A file was changed meanwhile, or a backup is damaged. Nothing was changed.
    """
    journal = migration.journal
    if journal is None:
        return 0
    paths = [entry.path for entry in journal.entries]
    with _opened(migration.plan.root, paths, makes_folders=force) as opened:
        backups = _backups(migration, journal, opened, force=force)
        restored = _restore(migration, journal, opened, backups, told)
        migration.write_journal(attrs.evolve(journal, step=Step.ROLLED_BACK))
    return restored


@contextmanager
def _opened(root: str, paths: list[str], *, makes_folders: bool = False) -> Iterator[dict[str, ProjectFile]]:
    with ExitStack() as stack:
        yield {
            path: stack.enter_context(project_file(root, path, makes_folders=makes_folders)) for path in paths
        }


def _waiting(
    migration: Migration, opened: dict[str, ProjectFile]
) -> list[tuple[PlannedFile, bytes, Standing]]:
    """Read the files that are still to be edited, and refuse those that are none of the plan any more."""
    waiting, faults = [], []
    for planned in migration.plan.files:
        data, standing = opened[planned.path].read()
        digest = sha256(data)
        if digest == planned.after:
            continue
        if digest != planned.before or sha256(planned.applied_to(data)) != planned.after:
            faults.append(f"{planned.path} was changed since the plan was made")
        elif standing.links > 1:
            faults.append(f"{planned.path} is one of several hard links")
        elif os.geteuid() not in {0, standing.owner}:
            faults.append(f"{planned.path} belongs to another user")
        else:
            waiting.append((planned, data, standing))
    if faults:
        raise StoreError("; ".join(faults), hint=_HINT)
    return waiting


def _begun(migration: Migration, waiting: list[tuple[PlannedFile, bytes, Standing]]) -> Journal:
    """Write backups, then the journal that names them; those of an earlier try are kept."""
    earlier = migration.journal
    known = earlier.entries if earlier is not None and earlier.step is not Step.ROLLED_BACK else ()
    entries = list(known)
    for planned, data, standing in waiting:
        if planned.path in {entry.path for entry in known}:
            continue
        migration.write_backup(len(entries), data)
        entries.append(
            Entry(
                path=planned.path,
                before=planned.before,
                after=planned.after,
                standing=standing,
            )
        )
    journal = Journal(step=Step.APPLYING, entries=tuple(entries))
    migration.write_journal(journal)
    return journal


def _take_back(migration: Migration, journal: Journal, opened: dict[str, ProjectFile]) -> None:
    """Leave nothing of a plan of which one file cannot be replaced."""
    backups = {entry.path: migration.backup(place) for place, entry in enumerate(journal.entries)}
    _restore(migration, journal, opened, backups, lambda _: None)
    migration.write_journal(attrs.evolve(journal, step=Step.ROLLED_BACK))


def _backups(
    migration: Migration, journal: Journal, opened: dict[str, ProjectFile], *, force: bool
) -> dict[str, bytes]:
    """Read and check all backups that are needed, and refuse to write over what somebody changed."""
    backups, faults = {}, []
    for place, entry in enumerate(journal.entries):
        file = opened[entry.path]
        found = sha256(file.read()[0]) if file.exists() else ""
        if found == entry.before:
            continue
        data = migration.backup(place)
        if sha256(data) != entry.before:
            faults.append(f"the backup of {entry.path} is damaged")
        elif found != entry.after and not force:
            faults.append(f"{entry.path} was changed or removed after the plan was applied")
        backups[entry.path] = data
    if faults:
        raise StoreError(
            "; ".join(faults), hint="restore all the same with: homeport migrate rollback --force"
        )
    return backups


def _restore(
    migration: Migration,
    journal: Journal,
    opened: dict[str, ProjectFile],
    backups: dict[str, bytes],
    told: Told,
) -> int:
    restored = 0
    for place, entry in enumerate(journal.entries):
        file, name = opened[entry.path], _staged(migration, place)
        with suppress(StoreError):  # what cannot be removed is none of ours
            file.discard(name)
        is_restored = file.exists() and sha256(file.read()[0]) == entry.before
        if entry.path in backups and not is_restored:
            file.stage(name, backups[entry.path], entry.standing)
            file.replace(name, mtime_ns=entry.standing.mtime_ns)
            told(entry.path)
            restored += 1
    return restored


def _staged(migration: Migration, place: int) -> str:
    """Name of a file's successor until it takes its place; short, whatever the file is called."""
    return f".homeport-{migration.plan.id[-8:]}-{place}"
