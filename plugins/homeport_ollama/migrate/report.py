"""What it would take to move a project: every place that speaks of Ollama, and the models that are there."""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import attrs

from homeport_ollama.migrate.addresses import Targets
from homeport_ollama.migrate.finding import Finding, State
from homeport_ollama.migrate.plan import make_plan
from homeport_ollama.migrate.wanted_models import Name, wanted_findings
from homeport_ollama.store import ShelvedModel

_LOSSLESS = frozenset({"Q4_0", "Q4_1", "Q8_0"})
_GIGABYTE = 1e9


@attrs.frozen(kw_only=True)
class Report:
    """All that was found.

    Attributes:
        root: Folder of the project.
        to: Where its clients would ask.
        made_at: In UTC, ISO 8601.
        seconds: How long it took.
        totals: Of places and models by state, and of files to be edited.
        places: In the project.
        wanted: Models that the project names.
        models: Of Ollama's store.
    """

    root: str
    to: str
    made_at: str
    seconds: float
    totals: dict[str, int]
    places: tuple[Finding, ...]
    wanted: tuple[Finding, ...]
    models: tuple[Finding, ...]


def make_report(
    root: Path,
    targets: Targets,
    sources: frozenset[str],
    *,
    shelved: Sequence[ShelvedModel] = (),
    damage: Callable[[Path], str] | None = None,
    installed: frozenset[Name] = frozenset(),
) -> Report:
    """Look at a project and at Ollama's store.

    Args:
        root: Folder of the project.
        targets: Where its clients would ask.
        sources: Further places of an Ollama.
        shelved: Models of Ollama's store.
        damage: Says of a manifest there what is damaged; None looks at sizes alone.
        installed: What homeport has already.
    """
    began_at = time.monotonic()
    plan = make_plan(root, targets, sources)
    models = tuple(_model(model, damage) for model in shelved)
    wanted = tuple(wanted_findings(plan.models, installed, models))
    return Report(
        root=plan.root,
        to=plan.to,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - began_at, 3),
        totals={
            "places": len(plan.findings),
            "ready": _count(plan.findings, State.READY),
            "attention": _count(plan.findings, State.ATTENTION),
            "files_to_edit": len(plan.files),
            "named_models": len(wanted),
            "named_models_attention": _count(wanted, State.ATTENTION),
            "models": len(models),
            "models_ready": _count(models, State.READY),
            "models_attention": _count(models, State.ATTENTION),
        },
        places=plan.findings,
        wanted=wanted,
        models=models,
    )


def _count(findings: Iterable[Finding], state: State) -> int:
    return sum(finding.state is state for finding in findings)


def _model(model: ShelvedModel, damage: Callable[[Path], str] | None) -> Finding:
    info = model.info
    if model.obstacle:
        return Finding(path=info.name, state=State.ATTENTION, reason=f"cannot be used: {model.obstacle}")
    damaged = "" if damage is None else damage(model.path)
    if damaged:
        return Finding(path=info.name, state=State.ATTENTION, reason=f"cannot be used: {damaged}")
    kept = (
        "keeps the bits of its weights"
        if info.quantization in _LOSSLESS
        else "what is not Q4_0, Q4_1 or Q8_0 is encoded anew; `homeport show` tells the loss"
    )
    unchecked = "; its bytes were not checked" if damage is None else ""
    return Finding(
        path=info.name,
        value=f"{info.family} {info.quantization}, {info.size_bytes / _GIGABYTE:.2f} GB",
        state=State.READY,
        reason=f"answers without a download; {kept}{unchecked}",
    )
