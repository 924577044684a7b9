"""Looks into one file: what points at an Ollama there, and how it would be edited."""

import re
from collections.abc import Sequence

import attrs

from homeport_ollama.migrate.addresses import (
    Address,
    Place,
    Targets,
    asked_place,
    find_addresses,
    is_composed,
    replaced,
    replacements,
)
from homeport_ollama.migrate.code import code_findings, parsed_code
from homeport_ollama.migrate.code_models import code_models
from homeport_ollama.migrate.file_kinds import FileKind
from homeport_ollama.migrate.finding import Edit, Finding, State, shown
from homeport_ollama.migrate.model_names import ASSIGNED, named_models
from homeport_ollama.migrate.ollama_server import servers_of
from homeport_ollama.migrate.scalar import GrammarError, Scalar
from homeport_ollama.migrate.scalars import decoded, encoded, read_scalars
from homeport_ollama.migrate.scripts import script_findings, script_models
from homeport_ollama.migrate.tree import TreeFile
from homeport_ollama.migrate.variables import advice, is_unknown

_IMAGE = re.compile(r"(?:[\w.-]+(?::[0-9]+)?/)*ollama(?:/ollama)?(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?")
_IMAGE_STAYS = "the image of Ollama, which is left alone; it can go when homeport serves all"
_HERE = "leads to homeport already"
_BY_HAND = "cannot be edited for sure; change it by hand"


@attrs.frozen(kw_only=True)
class Inspection:
    """What was found in a file.

    Attributes:
        findings: By their lines.
        edits: In their order; none where nothing is to be changed.
        models: Names of models that it asks for.
    """

    findings: tuple[Finding, ...] = ()
    edits: tuple[Edit, ...] = ()
    models: tuple[str, ...] = ()


def inspect(file: TreeFile, targets: Targets, sources: frozenset[str]) -> Inspection:
    """Look into a file.

    Args:
        file: Which one.
        targets: Where addresses of an Ollama are to lead.
        sources: Further places of an Ollama, as :func:`find_addresses` takes them.
    """
    if file.obstacle and not file.data:
        return Inspection(findings=(_whole(file, file.obstacle),))
    if file.kind is FileKind.PYTHON:
        return _code(file, sources)
    text = decoded(file.data)
    if file.kind is FileKind.TEXT:
        return Inspection(
            findings=tuple(script_findings(file.path, text, sources)), models=script_models(text)
        )
    try:
        scalars = read_scalars(file.kind, text)
    except GrammarError as error:
        return Inspection(findings=(_whole(file, f"{error}; change it by hand"),))
    return _Inspector(file, text, scalars, targets, sources).inspection()


class _Inspector:
    """Goes through the values of one file."""

    def __init__(
        self,
        file: TreeFile,
        text: str,
        scalars: Sequence[Scalar],
        targets: Targets,
        sources: frozenset[str],
    ) -> None:
        self._file = file
        self._text = text
        self._scalars = scalars
        self._targets = targets
        self._sources = sources
        self._is_servers = servers_of(file.kind, file.path, scalars)
        self._findings: list[Finding] = []
        self._changes: list[tuple[int, int, str, str]] = []

    def inspection(self) -> Inspection:
        """Look at every value, and make sure that the edits change what they should and nothing else."""
        for scalar in self._scalars:
            self._look(scalar)
        edits = self._edits()
        if edits and not self._is_sound():
            edits = ()
            self._findings = [
                attrs.evolve(each, state=State.ATTENTION, reason=_BY_HAND) for each in self._findings
            ]
        models = named_models(self._scalars, self._targets, self._sources, self._is_servers)
        return Inspection(findings=tuple(self._findings), edits=edits, models=models)

    def _look(self, scalar: Scalar) -> None:
        named = ASSIGNED.fullmatch(scalar.value)
        setting = named.group(1) if named else _setting(scalar)
        value = named.group(2) if named else scalar.value
        told = self._variable(scalar, setting, value)
        if told:
            return
        if setting == "image" and _IMAGE.fullmatch(value):
            self._note(scalar, setting, State.ATTENTION, _IMAGE_STAYS)
            return
        self._addresses(scalar, setting)

    def _variable(self, scalar: Scalar, setting: str, value: str) -> bool:
        """Tell of a variable that has no effect, or is not known."""
        told = advice(setting)
        if told:
            self._note(scalar, setting, State.ATTENTION, f"has no effect in homeport: {told}")
        elif is_unknown(setting) and not list(find_addresses(value, self._sources)):
            self._note(scalar, setting, State.ATTENTION, "homeport does not know this variable of Ollama")
            return True
        return bool(told)

    def _addresses(self, scalar: Scalar, setting: str) -> None:
        found = list(find_addresses(scalar.value, self._sources))
        others = [address for address in found if not self._targets.are_at(address)]
        obstacle = self._obstacle(scalar, setting, others) if others or not found else ""
        if obstacle:
            self._note(scalar, setting, State.ATTENTION, obstacle)
        elif not found and setting == "OLLAMA_HOST" and not self._is_servers(scalar):
            self._note(scalar, setting, State.READY, _HERE)
        elif found:
            self._change(scalar, setting)

    def _change(self, scalar: Scalar, setting: str) -> None:
        changes = replacements(self._text[scalar.start : scalar.end], self._targets, self._sources)
        for start, end, new in changes:
            self._changes.append((scalar.start + start, scalar.start + end, new, setting))
        becomes = replaced(scalar.value, replacements(scalar.value, self._targets, self._sources))
        reason = f"becomes {_bare(becomes)}" if changes else _HERE
        self._note(scalar, setting, State.READY, reason)

    def _obstacle(self, scalar: Scalar, setting: str, found: Sequence[Address]) -> str:
        """Say why the addresses in a value are not edited; empty where they are, or where there are none."""
        if not found:
            return self._hidden(scalar, setting)
        if self._is_servers(scalar):
            return "belongs to Ollama's own server, which is left alone"
        return self._foreign(found) or self._uneditable(scalar) or self._file.obstacle

    def _foreign(self, found: Sequence[Address]) -> str:
        """Say why addresses do not lead to homeport after the edit; empty where they can."""
        kinds = {address.kind for address in found}
        if Place.BIND in kinds:
            return "where a server listens, not where a client asks; change it by hand"
        if Place.ELSEWHERE in kinds:
            return "an Ollama on another machine; to move it too, plan with --from"
        targets = [self._targets.of(address) for address in found]
        if None in targets:
            return "asked from a container, for which 127.0.0.1 is itself; plan with --to-container"
        if any(
            target and target.scheme == "https" and not address.scheme
            for target, address in zip(targets, found, strict=True)
        ):
            return "has no scheme, so it cannot say https; change it by hand"
        return ""

    def _uneditable(self, scalar: Scalar) -> str:
        """Say that a value is not written as it is meant; empty where it is."""
        raw, meant = (
            [address.place for address in find_addresses(text, self._sources)]
            for text in (self._text[scalar.start : scalar.end], scalar.value)
        )
        return "" if raw == meant else _BY_HAND

    def _hidden(self, scalar: Scalar, setting: str) -> str:
        """Say where an address is that cannot be seen; empty where there is none."""
        value = ASSIGNED.sub(r"\2", scalar.value)
        if is_composed(value) or (setting == "OLLAMA_HOST" and "$" in value):
            return "its host comes from a variable; change it by hand"
        if setting == "OLLAMA_HOST" and not self._is_servers(scalar):
            return self._unknown_host(value)
        return ""

    def _unknown_host(self, value: str) -> str:
        """Say whom a client asks that is neither an Ollama that we know nor homeport; empty for homeport."""
        place, has_port = asked_place(value)
        if any(each and each.place.lower() == place for each in (self._targets.outer, self._targets.inner)):
            return ""
        if not place or not has_port:
            told = f"so a client asks {place}" if place else "and is no address of a server"
            return f"has no port, {told}; write {self._targets.outer.place}"
        return f"leads to {place}, not known as an Ollama; if it is one, plan with --from {place}"

    def _edits(self) -> tuple[Edit, ...]:
        edits, at, passed = [], 0, 0
        for start, end, new, setting in sorted(self._changes):
            passed += len(encoded(self._text[at:start]))
            old = encoded(self._text[start:end])
            edits.append(
                Edit(
                    start=passed,
                    end=passed + len(old),
                    old=old.decode(errors="backslashreplace"),
                    new=new,
                    line=self._line(start),
                    setting=setting,
                )
            )
            at, passed = end, passed + len(old)
        return tuple(edits)

    def _is_sound(self) -> bool:
        """Read the file as it would be, and compare: the same values in place, but for addresses."""
        changes = [(start, end, new) for start, end, new, _ in sorted(self._changes)]
        try:
            after = read_scalars(self._file.kind, replaced(self._text, changes))
        except GrammarError:
            return False
        starts = [start for start, _, _ in changes]
        expected = [
            replaced(each.value, replacements(each.value, self._targets, self._sources))
            if any(each.start <= start < each.end for start in starts)
            else each.value
            for each in self._scalars
        ]
        return [each.path for each in after] == [each.path for each in self._scalars] and [
            each.value for each in after
        ] == expected

    def _note(self, scalar: Scalar, setting: str, state: State, reason: str) -> None:
        self._findings.append(
            Finding(
                path=self._file.path,
                line=self._line(scalar.start),
                setting=setting,
                value=_bare(scalar.value),
                state=state,
                reason=reason,
            )
        )

    def _line(self, position: int) -> int:
        return self._text.count("\n", 0, position) + 1


def _setting(scalar: Scalar) -> str:
    """Give the innermost key; places in lists are none."""
    return next((key for key in reversed(scalar.path) if not key.isdigit()), "")


def _bare(value: str) -> str:
    """Give a value as people may see it, without the variable that it is assigned to in the same text."""
    return shown(ASSIGNED.sub(r"\2", value))


def _code(file: TreeFile, sources: frozenset[str]) -> Inspection:
    try:
        tree = parsed_code(file.data)
    except GrammarError as error:
        return Inspection(findings=(_whole(file, str(error)),))
    return Inspection(findings=tuple(code_findings(file.path, tree, sources)), models=code_models(tree))


def _whole(file: TreeFile, reason: str) -> Finding:
    return Finding(path=file.path, state=State.ATTENTION, reason=reason)
