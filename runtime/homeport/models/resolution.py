"""What the name of a model means: its pair on the hub, how sure that is, and the memory that it takes."""

from datetime import UTC, datetime

import attrs

from homeport.domain.models import Capability, ModelInfo
from homeport.models.aliases import Alias, AliasTable
from homeport.models.footprint import estimated_fixed_bytes, estimated_kv_bytes
from homeport.models.names import ModelName

_ALIKE_PARAMETERS = 0.1
"""Counts that differ by less are those of one model: tables and tags round them."""

_INT4_FROM = 1_000_000_000
_INT8_FROM = 300_000_000
_INT4_BITS = 5.0
"""4.5 in the layers and 8.5 in the tables: 5.0 for TinyLlama 1.1B and Llama 3.2 3B, 5.4 for Llama 3.2 1B."""
_INT8_BITS = 8.5
_PUBLISHED_BITS = 16.0
_ENCODER_BITS = 32.0
_BITS_PER_BYTE = 8


@attrs.frozen(kw_only=True)
class Pair:
    """A name and the repository that it means.

    Attributes:
        name: Canonical name.
        hub: Repository; empty where it means none.
        confidence: ``high``, ``medium`` or ``low``; ``exact`` where the name itself is the repository, or
            the model is here.
        evidence: Why, one line each.
        conflict: What contradicts the pair; empty where nothing does.
        alias: The row of the table; None where there is none.
    """

    name: ModelName
    hub: str = ""
    confidence: str = "exact"
    evidence: tuple[str, ...] = ()
    conflict: str = ""
    alias: Alias | None = None


@attrs.frozen(kw_only=True)
class MemoryNeed:
    """What a model takes, in bytes.

    Attributes:
        weights_bytes: As they are stored here.
        cache_bytes: Keys and values of one window; None where unknown.
        program_bytes: A worker beside both.
        window: Tokens of the window.
    """

    weights_bytes: int
    cache_bytes: int | None
    program_bytes: int
    window: int

    @property
    def total_bytes(self) -> int:
        """All of it; the least that it can be where the keys and values are unknown."""
        return self.weights_bytes + (self.cache_bytes or 0) + self.program_bytes


def find_pair(table: AliasTable, name: ModelName, installed: ModelInfo | None) -> Pair | None:
    """Say what a name means; None where it is unknown. Nothing is guessed.

    Args:
        table: The names that are known.
        name: To resolve.
        installed: The model that bears the name here; None where none does.
    """
    alias = table.find(name)
    if alias is not None:
        return _judged(alias, name, installed)
    if name.hub_id:
        evidence = ("the name is a repository of the Hugging Face hub; the table has no row for it",)
        return Pair(name=name, hub=name.hub_id, evidence=evidence)
    if installed is not None:
        parent = (f"it was made from {installed.parent}",) if installed.parent else ()
        here = "a model of this name is here; the table has no row for it"
        return Pair(name=name, evidence=(here, *parent))
    return None


def expected_model(alias: Alias) -> ModelInfo:
    """Predict what a pull would install: ``auto`` packs by the number of weights."""
    mark = alias.fingerprint
    family = mark.architecture if mark else ""
    weights, bits = _expected_weights(alias)
    facts = {} if mark is None else {
        f"{family}.block_count": mark.layers,
        f"{family}.attention.head_count": mark.key_heads,
        f"{family}.attention.head_count_kv": mark.key_heads,
        f"{family}.attention.key_length": mark.head_length,
    }  # fmt: skip
    is_encoder = alias.task == "embedding"
    return ModelInfo(
        name=alias.name.display,
        digest="",
        backend="",
        modified_at=datetime.now(UTC),
        size_bytes=int(alias.params * bits / _BITS_PER_BYTE),
        capabilities=frozenset({Capability.EMBEDDING if is_encoder else Capability.COMPLETION}),
        family=family,
        parameter_count=alias.params,
        weights=weights,
        context_length=alias.context,
        facts=facts,
    )


def memory_need(model: ModelInfo, window: int) -> MemoryNeed:
    """Predict what a model takes with a window of so many tokens, at most its own."""
    tokens = min(window, model.context_length or window)
    kv_bytes = estimated_kv_bytes(model)
    return MemoryNeed(
        weights_bytes=model.size_bytes,
        cache_bytes=None if kv_bytes is None else kv_bytes * tokens,
        program_bytes=estimated_fixed_bytes(model, None) - model.size_bytes,
        window=tokens,
    )


def _judged(alias: Alias, name: ModelName, installed: ModelInfo | None) -> Pair:
    """Hold the row of a name against the model that is here."""
    evidence = [f"the table gives {name.display} to {alias.hub}", _checked(alias)]
    hub, conflict = alias.hub, ""
    if installed is not None:
        other = alias.otherwise
        objections = _objections(alias, installed)
        if other is not None and _is_other(other.architecture, other.context, alias, installed):
            hub = other.hub
            evidence.append(f"the one that is here {_likeness(installed)}, which makes it {hub}")
        elif objections:
            conflict = f"the table says {alias.hub}, but the model that is here {'; it '.join(objections)}"
        else:
            evidence.append(f"the one that is here {_likeness(installed)}, which agrees")
    return Pair(
        name=alias.name,
        hub=hub,
        confidence=alias.confidence,
        evidence=tuple(evidence),
        conflict=conflict,
        alias=alias,
    )


def _checked(alias: Alias) -> str:
    if alias.checked is None:
        return "the row was not compared with the published files"
    return f"the row was compared with the published files on {alias.checked.isoformat()}"


def _is_other(architecture: str, context: int, alias: Alias, installed: ModelInfo) -> bool:
    """Say whether a model is what the name meant at another time."""
    if architecture:
        return installed.family == architecture
    return bool(context) and installed.context_length == context != alias.context


def _objections(alias: Alias, installed: ModelInfo) -> list[str]:
    objections = []
    mark = alias.fingerprint
    if mark is not None and installed.family and installed.family != mark.architecture:
        objections.append(f"has the architecture {installed.family!r} instead of {mark.architecture!r}")
    count = installed.parameter_count
    if count and abs(count - alias.params) > _ALIKE_PARAMETERS * alias.params:
        objections.append(f"has {count} parameters instead of {alias.params}")
    layers = installed.facts.get(f"{installed.family}.block_count")
    if mark is not None and isinstance(layers, int) and layers and layers != mark.layers:
        objections.append(f"has {layers} layers instead of {mark.layers}")
    return objections


def _likeness(installed: ModelInfo) -> str:
    count = f", {installed.parameter_count} parameters" if installed.parameter_count else ""
    window = f", a window of {installed.context_length}" if installed.context_length else ""
    return f"is {installed.family or 'of unknown architecture'}{count}{window}"


def _expected_weights(alias: Alias) -> tuple[str, float]:
    if alias.task == "embedding":
        return "fp32", _ENCODER_BITS
    if alias.params > _INT4_FROM:
        return "int4", _INT4_BITS
    return ("int8", _INT8_BITS) if alias.params >= _INT8_FROM else ("bf16", _PUBLISHED_BITS)
