"""A plan: every edit of a project with what the files are before and after it. Nothing is changed by it."""

import difflib
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import attrs

from homeport_ollama.migrate.addresses import Targets
from homeport_ollama.migrate.finding import Edit, Finding, State
from homeport_ollama.migrate.inspection import Inspection, inspect
from homeport_ollama.migrate.tree import TreeFile, tree_files

_ID_DIGITS = 8


@attrs.frozen(kw_only=True)
class PlannedFile:
    """One file that is to be edited.

    Attributes:
        path: Relative to the root, with forward slashes.
        kind: By which grammar it was read.
        before: SHA-256 of it as it is.
        after: SHA-256 of it as it will be.
        edits: In their order, apart from each other.
        diff: The same for people: a unified diff without context, which could hold secrets.
    """

    path: str
    kind: str
    before: str
    after: str
    edits: tuple[Edit, ...]
    diff: str

    def applied_to(self, data: bytes) -> bytes:
        """Give the file as it will be.

        Args:
            data: The file as it is.
        """
        pieces, last = [], 0
        for edit in self.edits:
            pieces += [data[last : edit.start], edit.new.encode()]
            last = edit.end
        return b"".join([*pieces, data[last:]])


@attrs.frozen(kw_only=True)
class Plan:
    """What ``migrate apply`` does.

    Attributes:
        id: Name of the plan: when it was made, and of what.
        made_at: In UTC, ISO 8601.
        root: Folder of the project.
        to: Address that its clients will ask.
        sources: Places that were taken for an Ollama besides the usual ones.
        files: To be edited.
        findings: All that was found.
        models: Names of models that the project asks for.
    """

    id: str
    made_at: str
    root: str
    to: str
    sources: tuple[str, ...] = ()
    files: tuple[PlannedFile, ...] = ()
    findings: tuple[Finding, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def edit_count(self) -> int:
        """How many edits it has, over all files."""
        return sum(len(file.edits) for file in self.files)

    @property
    def open_points(self) -> Sequence[Finding]:
        """What somebody has to look at."""
        return [finding for finding in self.findings if finding.state is State.ATTENTION]


def make_plan(root: Path, targets: Targets, sources: frozenset[str]) -> Plan:
    """Read a project and plan its edits.

    Args:
        root: Its folder.
        targets: Where its clients are to ask.
        sources: Further places of an Ollama, ``host:port``.
    """
    inspected = [(file, inspect(file, targets, sources)) for file in tree_files(root)]
    files = tuple(_planned(file, found) for file, found in inspected if found.edits)
    now = datetime.now(UTC)
    seal = hashlib.sha256(repr((str(root), targets, [(file.path, file.after) for file in files])).encode())
    return Plan(
        id=f"{now:%Y%m%dT%H%M%SZ}-{seal.hexdigest()[:_ID_DIGITS]}",
        made_at=now.isoformat(timespec="seconds"),
        root=str(root),
        to=targets.outer.url,
        sources=tuple(sorted(sources)),
        files=files,
        findings=tuple(finding for _, found in inspected for finding in found.findings),
        models=tuple(dict.fromkeys(_models(found for _, found in inspected))),
    )


def _models(inspections: Iterable[Inspection]) -> Iterable[str]:
    return (model for inspection in inspections for model in inspection.models)


def _planned(file: TreeFile, found: Inspection) -> PlannedFile:
    planned = PlannedFile(
        path=file.path,
        kind=file.kind.value,
        before=sha256(file.data),
        after="",
        edits=found.edits,
        diff="",
    )
    after = planned.applied_to(file.data)
    return attrs.evolve(planned, after=sha256(after), diff=_diff(file.path, file.data, after))


def _diff(path: str, before: bytes, after: bytes) -> str:
    old, new = (_lines(data) for data in (before, after))
    name = path.replace("\n", "?")
    lines = difflib.unified_diff(old, new, f"a/{name}", f"b/{name}", n=0)
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(data: bytes) -> list[str]:
    return [line.decode(errors="backslashreplace") for line in data.splitlines(keepends=True)]


def sha256(data: bytes) -> str:
    """Hash bytes: 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
