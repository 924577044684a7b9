"""Settings of the routers."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from homeport import Strategy


def _share(value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"must be 0 to 1, got {value!r}")


def _weight(value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"must be 0 or more, got {value!r}")


def _count(value: int) -> None:
    if value < 0:
        raise ValueError(f"must be 0 or more, got {value!r}")


def _filled(value: Sequence[str]) -> None:
    blank = next((entry for entry in value if not entry.strip()), None)
    if blank is not None:
        raise ValueError(f"must not be empty, got {blank!r}")


def _strategies(value: Mapping[str, object]) -> None:
    strange = sorted(set(value) - set(Strategy))
    if strange:
        raise ValueError(f"must be named {', '.join(Strategy)}, got {strange[0]!r}")


def _equals(value: str) -> None:
    if value not in _EQUALS:
        raise ValueError(f"must be one of {', '.join(_EQUALS)}, got {value!r}")


_EQUALS = ("model", "group")


def _field(default: Any, summary: str, check: Callable[..., None] | None = None) -> Any:  # noqa: ANN401
    metadata = {"summary": summary, "check": check}
    if callable(default):
        return attrs.field(factory=default, metadata=metadata)
    return attrs.field(default=default, metadata=metadata)


@attrs.frozen(kw_only=True)
class RuleConfig:
    """One ``[plugins.rules.rule.NAME]``: conditions, all of which must hold, and what follows from them.

    A condition that names several needs one of them. Names are compared without regard to case.

    Attributes:
        tasks: Types of task, as the caller or else the classifier names them.
        tags: Tags of the request.
        agents: Agents that ask.
        models: Names that were asked for.
        least_tokens: The prompt is about so long, or longer.
        most_tokens: It is about so long, or shorter; 0 sets no bound.
        words: Words, or words in a row, that stand in the prompt.
        prefer: Who comes first: tiers, models, backends, ``BACKEND/MODEL``, ``local``, ``remote``.
        only: Who may serve it at all, named likewise.
        refuse: Nobody may.
        critical: The most capable comes first, whatever later routers find.
    """

    tasks: tuple[str, ...] = _field((), "types of task", _filled)
    tags: tuple[str, ...] = _field((), "tags of the request", _filled)
    agents: tuple[str, ...] = _field((), "agents that ask", _filled)
    models: tuple[str, ...] = _field((), "names that were asked for", _filled)
    least_tokens: int = _field(0, "shortest prompt, about, in tokens", _count)
    most_tokens: int = _field(0, "longest prompt, about, in tokens; 0 sets no bound", _count)
    words: tuple[str, ...] = _field((), "words of the prompt", _filled)
    prefer: tuple[str, ...] = _field((), "tiers, models, backends, local or remote that come first", _filled)
    only: tuple[str, ...] = _field((), "tiers, models, backends, local or remote that may serve it", _filled)
    refuse: bool = _field(False, "nobody may serve it")
    critical: bool = _field(False, "the most capable comes first")

    def __attrs_post_init__(self) -> None:
        if not (self.prefer or self.only or self.refuse or self.critical):
            raise ValueError("a rule needs one of prefer, only, refuse, critical")
        if self.most_tokens and self.most_tokens < self.least_tokens:
            raise ValueError(f"most_tokens {self.most_tokens} is less than least_tokens {self.least_tokens}")


@attrs.frozen(kw_only=True)
class RulesConfig:
    """Settings of the router ``rules``, ``[plugins.rules]``.

    Attributes:
        sure: Probability below which the classifier of tasks abstains.
        rule: Rules by name; the first that holds counts.
    """

    sure: float = _field(0.6, "probability below which no type of task is guessed", _share)
    rule: Mapping[str, RuleConfig] = _field(dict, "rules by name, in order; the first that holds counts")


@attrs.frozen(kw_only=True)
class ComplexityConfig:
    """Settings of the router ``complexity``, ``[plugins.complexity]``.

    Attributes:
        standard_from: Score from which a request is standard.
        complex_from: Score from which it is complex.
        simple: Tiers for simple requests, best first.
        standard: Tiers for standard ones.
        complex: Tiers for complex ones.
        sure: Probability below which the classifier of tasks abstains.
    """

    standard_from: float = _field(0.35, "score from which a request is standard", _share)
    complex_from: float = _field(0.70, "score from which a request is complex", _share)
    simple: tuple[str, ...] = _field(
        ("fast", "balanced", "power", "remote"), "tiers for simple requests, best first"
    )
    standard: tuple[str, ...] = _field(
        ("balanced", "power", "fast", "remote"), "tiers for standard requests, best first"
    )
    complex: tuple[str, ...] = _field(
        ("power", "remote", "balanced", "fast"), "tiers for complex requests, best first"
    )
    sure: float = _field(0.6, "probability below which no type of task is guessed", _share)

    def __attrs_post_init__(self) -> None:
        if self.standard_from > self.complex_from:
            raise ValueError(
                f"standard_from {self.standard_from} is more than complex_from {self.complex_from}"
            )


@attrs.frozen(kw_only=True)
class Weights:
    """What counts how much, ``[plugins.strategy.weights.STRATEGY]``; only their proportions matter.

    Attributes:
        availability: Of free places, and of being in memory.
        success: Of the share of attempts that ended well.
        latency: Of a short time to the first token.
        quality: Of size, as far as it is known.
        cost: Of staying on this machine, and of being small there.
    """

    availability: float = _field(0.0, "weight of free places", _weight)
    success: float = _field(0.0, "weight of attempts that ended well", _weight)
    latency: float = _field(0.0, "weight of a short time to the first token", _weight)
    quality: float = _field(0.0, "weight of size", _weight)
    cost: float = _field(0.0, "weight of costing little", _weight)

    def __attrs_post_init__(self) -> None:
        if not any(attrs.astuple(self)):
            raise ValueError("at least one weight must be more than 0")


@attrs.frozen(kw_only=True)
class StrategyConfig:
    """Settings of the router ``strategy``, ``[plugins.strategy]``.

    Attributes:
        weights: Instead of the weights that strategies have.
    """

    weights: Mapping[str, Weights] = _field(
        dict, "weights of balanced, speed, quality, cost or local-first, by its name", _strategies
    )


@attrs.frozen(kw_only=True)
class LoadConfig:
    """Settings of the router ``load``, ``[plugins.load]``.

    Attributes:
        among: ``model`` shares requests among the backends of one model, and among members of a route that
            have weights; ``group`` among all that earlier routers left equal.
    """

    among: str = _field("model", "who shares requests: backends of one model, or all of a group", _equals)
