"""What was found out about a name, as lines and as JSON."""

from collections.abc import Iterator, Sequence

import attrs

from homeport.cli import figures
from homeport.cli.client import JsonObject
from homeport.cli.machine_memory import MachineMemory
from homeport.cli.text import harmless_line
from homeport.domain.models import ModelInfo
from homeport.models.resolution import MemoryNeed, Pair

_LABEL_WIDTH = 14
_VERDICTS = {
    "yes": "fits",
    "not now": "fits once other programs or models leave room",
    "no": "does not fit this machine",
}


@attrs.frozen(kw_only=True)
class Finding:
    """What a name means.

    Attributes:
        asked: The name as it was typed.
        route: The tier or route that it is, as ``/v1/routes`` tells it; None where it is a model.
        pair: The model that it is.
        model: What is known of it: as installed, else as a pull would install it.
        is_installed: Whether the model is here.
        need: Memory that it takes.
        memory: What this machine has.
    """

    asked: str
    route: JsonObject | None = None
    pair: Pair | None = None
    model: ModelInfo | None = None
    is_installed: bool = False
    need: MemoryNeed | None = None
    memory: MachineMemory | None = None

    @property
    def conflict(self) -> str:
        """What contradicts it; empty where nothing does."""
        if self.route is not None:
            return (
                "" if _served_by(self.route) else f"nobody can serve {self.asked!r} now; pull a model first"
            )
        return self.pair.conflict if self.pair else ""

    def as_json(self) -> dict[str, object]:
        """Give all of it for programs."""
        if self.route is not None:
            kind = self.route.get("kind")
            name = self.route.get("name")
            return {"asked": self.asked, "kind": kind, "name": name, "served_by": _served_by(self.route)}
        if self.pair is None:
            return {"asked": self.asked}
        alias = self.pair.alias
        return {
            "asked": self.asked,
            "kind": "model",
            "name": self.pair.name.display,
            "hub": self.pair.hub or None,
            "confidence": self.pair.confidence,
            "evidence": list(self.pair.evidence),
            "conflict": self.pair.conflict or None,
            "license": _license(self) or None,
            "gated": alias.gated if alias else None,
            "installed": self.is_installed,
            "memory": _memory_json(self.need, self.memory),
            "note": alias.note if alias else "",
        }


def report(finding: Finding, *, explain: bool) -> Iterator[str]:
    """Write it for people: one line, or all of it."""
    if finding.route is not None:
        served = ", then ".join(_served_by(finding.route)) or "nobody now"
        route = harmless_line(f"{finding.route.get('kind')} {finding.route.get('name')}")
        yield f"{harmless_line(finding.asked)} is the {route}, served by {harmless_line(served)}"
        return
    pair = finding.pair
    if pair is None:
        return
    yield f"{pair.name.display}  {pair.hub or 'a model of your own'}"
    if explain:
        for label, value in _lines(finding, pair):
            yield f"  {label:{_LABEL_WIDTH}}{harmless_line(value)}"


def _lines(finding: Finding, pair: Pair) -> Iterator[tuple[str, str]]:
    yield "confidence", pair.confidence
    for place, evidence in enumerate(pair.evidence):
        yield "" if place else "evidence", evidence
    yield "license", _license(finding) or "unknown; its card tells"
    yield "gate", _gate(pair)
    yield "installed", "yes" if finding.is_installed else f"no; homeport pull {pair.name.display}"
    if finding.model is not None:
        count = finding.model.parameter_count
        yield "parameters", figures.parameter_count(count) if count else "unknown"
        yield "context", str(finding.model.context_length or "unknown")
    if finding.need is not None and finding.memory is not None:
        yield from _memory_lines(finding.need, finding.memory, is_expected=not finding.is_installed)
    else:
        yield "memory", "unknown until it is pulled"
    if pair.alias and pair.alias.note:
        yield "note", pair.alias.note


def _gate(pair: Pair) -> str:
    if pair.alias is None:
        return "unknown" if pair.hub else "none, it is here"
    if pair.alias.gated:
        return f"the hub asks to accept a licence first: https://huggingface.co/{pair.hub}, then set HF_TOKEN"
    return "none"


def _license(finding: Finding) -> str:
    """Give the licence's identifier, or the first line of its text."""
    alias = finding.pair.alias if finding.pair else None
    text = alias.license if alias and alias.license else finding.model.license if finding.model else ""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _memory_lines(need: MemoryNeed, memory: MachineMemory, *, is_expected: bool) -> Iterator[tuple[str, str]]:
    cache = "unknown" if need.cache_bytes is None else figures.size(need.cache_bytes)
    about = "about " if is_expected else ""
    parts = (
        f"weights {figures.size(need.weights_bytes)}",
        f"keys and values of {need.window} tokens {cache}",
        f"program {figures.size(need.program_bytes)}",
    )
    yield "memory", f"{about}{figures.size(need.total_bytes)}: {', '.join(parts)}"
    allowed, total = figures.size(memory.allowed_bytes), figures.size(memory.total_bytes)
    verdict = _VERDICTS[memory.verdict(need.total_bytes)]
    now = figures.size(memory.free_bytes)
    yield "", f"{verdict}: models may take {allowed} of {total}, {now} of it now"


def _memory_json(need: MemoryNeed | None, memory: MachineMemory | None) -> dict[str, object] | None:
    if need is None or memory is None:
        return None
    return {
        "total_bytes": need.total_bytes,
        "weights_bytes": need.weights_bytes,
        "cache_bytes": need.cache_bytes,
        "program_bytes": need.program_bytes,
        "window": need.window,
        "machine_bytes": memory.total_bytes,
        "allowed_bytes": memory.allowed_bytes,
        "free_bytes": memory.free_bytes,
        "fits": memory.verdict(need.total_bytes),
    }


def _served_by(route: JsonObject) -> Sequence[str]:
    candidates = route.get("candidates")
    if not isinstance(candidates, list):
        return []
    return [f"{each.get('backend')}/{each.get('model')}" for each in candidates if isinstance(each, dict)]
