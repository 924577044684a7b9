"""Settings of the guard, ``[plugins.cost-guard]``."""

import math
from collections.abc import Callable, Mapping
from datetime import date
from enum import StrEnum
from typing import Any

import attrs

from homeport import one_of


class Scope(StrEnum):
    """What a budget counts together."""

    GLOBAL = "global"
    """All attempts."""
    KEY = "key"
    """Those of one API key."""
    AGENT = "agent"
    JOB = "job"
    TAG = "tag"
    MODEL = "model"


class Period(StrEnum):
    """How long a budget counts before it begins anew, in UTC."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


_MOST_USD = 1e9
"""More would leave the 64 bits of the ledger's sums too near."""
_MOST_COUNT = 10**15


def _setting(default: Any, summary: str, check: Callable[[Any], None] | None = None) -> Any:  # noqa: ANN401
    """Declare a setting with its line for the documentation and its range."""
    validator = None if check is None else (lambda _instance, _field, value: check(value))
    metadata = {"summary": summary, "check": check}
    if callable(default):
        return attrs.field(factory=default, metadata=metadata)
    return attrs.field(default=default, validator=validator, metadata=metadata)


def _money(value: float | None) -> None:
    if value is not None and not 0 <= value <= _MOST_USD:
        raise ValueError(f"must be an amount of USD from 0 to {_MOST_USD:g}, got {value!r}")


def _count(value: int | None) -> None:
    if value is not None and not 0 <= value <= _MOST_COUNT:
        raise ValueError(f"must be 0 to {_MOST_COUNT}, got {value!r}")


def _positive(value: int) -> None:
    if not 1 <= value <= _MOST_COUNT:
        raise ValueError(f"must be 1 to {_MOST_COUNT}, got {value!r}")


def _share(value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"must be 0 to 1, got {value!r}")


def _seconds(value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"must be a finite number of seconds, 0 or more, got {value!r}")


def _day(value: str) -> None:
    try:
        date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"must be a day such as '2026-11-21', got {value!r}") from None


@attrs.frozen(kw_only=True)
class PriceSettings:
    """What a model costs, in USD per million tokens.

    Attributes:
        input: Of the prompt.
        output: Of the answer.
        cached_input: Of the part of the prompt that its server knew; None is the price of the rest.
        as_of: Day on which the price was looked up.
        source: Where.
    """

    input: float = attrs.field(metadata={"check": _money})
    output: float = attrs.field(default=0.0, metadata={"check": _money})
    cached_input: float | None = attrs.field(default=None, metadata={"check": _money})
    as_of: str = attrs.field(metadata={"check": _day})
    source: str = "settings"


@attrs.frozen(kw_only=True)
class BudgetSettings:
    """One ``[plugins.cost-guard.budgets.NAME]``.

    Attributes:
        scope: What it counts together: global, key, agent, job, tag, model.
        match: The one key (as ``cost report --by key`` names it), agent, job, tag or model that it is for;
            empty gives each its own, and is all that ``global`` takes.
        period: When it begins anew: day, month, or total for never.
        hard_usd: No attempt runs that could take more.
        hard_tokens: Likewise, of prompts and answers.
        hard_cpu_seconds: Likewise, on this machine.
        hard_calls: Likewise.
        soft_usd: Above it a warning is logged and the router turns to local models.
        soft_tokens: Likewise.
        soft_cpu_seconds: Likewise.
        soft_calls: Likewise.
    """

    scope: str = attrs.field(default=Scope.GLOBAL.value, metadata={"check": one_of(Scope)})
    match: str = ""
    period: str = attrs.field(default=Period.DAY.value, metadata={"check": one_of(Period)})
    hard_usd: float | None = attrs.field(default=None, metadata={"check": _money})
    hard_tokens: int | None = attrs.field(default=None, metadata={"check": _count})
    hard_cpu_seconds: int | None = attrs.field(default=None, metadata={"check": _count})
    hard_calls: int | None = attrs.field(default=None, metadata={"check": _count})
    soft_usd: float | None = attrs.field(default=None, metadata={"check": _money})
    soft_tokens: int | None = attrs.field(default=None, metadata={"check": _count})
    soft_cpu_seconds: int | None = attrs.field(default=None, metadata={"check": _count})
    soft_calls: int | None = attrs.field(default=None, metadata={"check": _count})

    def __attrs_post_init__(self) -> None:
        if self.match and self.scope == Scope.GLOBAL:
            raise ValueError(
                f"match is {self.match!r}, but a budget of scope global counts all; leave it out"
            )


@attrs.frozen(kw_only=True)
class CostGuardConfig:
    """What models cost, and what may be spent."""

    prices: Mapping[str, PriceSettings] = _setting(
        dict, "price of each remote model, by its name; * stands for any text"
    )
    price_file: str = _setting("", "a TOML file of further prices, in the form of the one that is shipped")
    allow_unpriced: tuple[str, ...] = _setting(
        (), "remote models that may be used without a price; * stands for any text"
    )
    budgets: Mapping[str, BudgetSettings] = _setting(dict, "budgets, by a name of your own")
    job_usd: float = _setting(10.0, "what any one job may spend in all; 0 sets no bound", _money)
    most_answer_tokens: int = _setting(
        4096, "bound of an answer that is paid for or counted and whose request sets none", _positive
    )
    local_usd_per_cpu_hour: float = _setting(0.0, "what an hour of one CPU of this machine costs", _money)
    local_threads: int = _setting(
        0, "CPUs that a local model computes with; 0 takes those that homeport may use", _count
    )
    most_local_seconds: float = _setting(
        60.0, "how long a local answer is expected to compute at most, where that is counted", _seconds
    )
    reference_model: str = _setting("", "priced model that savings are told against; unset, none are told")
    remote_complexity: float = _setting(
        0.7, "the router lets a remote model stand before a local one from this complexity on", _share
    )
    mixed_complexity: float = _setting(
        0.5, "or from this one on, if enough of the last 100 attempts were local", _share
    )
    local_per_remote: int = _setting(3, "local attempts per remote one that are enough", _count)
    remote_cap_share: float = _setting(
        0.9, "the router puts remote models last once this share of any hard cap is taken", _share
    )
