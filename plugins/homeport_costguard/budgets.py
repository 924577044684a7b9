"""Budgets: which of them an attempt falls under, and what they bound."""

from datetime import UTC, date, datetime, time, timedelta

import attrs

from homeport_costguard.amounts import MILLISECONDS, Amounts, Caps
from homeport_costguard.config import BudgetSettings, CostGuardConfig, Period, Scope
from homeport_costguard.labels import Labels
from homeport_costguard.money import micro_usd, usd_text
from homeport_costguard.prices import plain_name

JOB_BUDGET = "every-job"
"""Name of the budget that ``job_usd`` makes."""
_FIRST_DAY_OF_NEXT_MONTH = timedelta(days=31)


@attrs.frozen
class Account:
    """What is counted together: a scope, its value, and the period."""

    scope: str
    value: str
    period: str


@attrs.frozen(kw_only=True)
class Budget:
    """A bound on each account of one scope, or on one of them.

    Attributes:
        name: As in the settings.
        scope: What is counted together.
        match: The one value it is for; empty is each on its own.
        period: When it begins anew.
        hard: No attempt passes them.
        soft: Above them a warning is logged.
    """

    name: str
    scope: Scope
    match: str
    period: Period
    hard: Caps
    soft: Caps

    @classmethod
    def of(cls, name: str, settings: BudgetSettings) -> "Budget":
        """Build a budget from its settings."""
        return cls(
            name=name,
            scope=Scope(settings.scope),
            match=_match(settings),
            period=Period(settings.period),
            hard=_caps(
                settings.hard_usd, settings.hard_tokens, settings.hard_cpu_seconds, settings.hard_calls
            ),
            soft=_caps(
                settings.soft_usd, settings.soft_tokens, settings.soft_cpu_seconds, settings.soft_calls
            ),
        )

    def covers(self, scope: str, value: str) -> bool:
        """Tell whether an account is one of its own."""
        return scope == self.scope.value and self.match in ("", value)


@attrs.frozen(kw_only=True)
class Bound:
    """A budget on one account."""

    budget: Budget
    account: Account

    def refusal(self, taken: Amounts, wanted: Amounts) -> str:
        """Say why an attempt does not fit; empty where it does.

        Args:
            taken: What is spent and reserved on the account.
            wanted: What the attempt could take.
        """
        # What is free passes a spent budget: only units count of which something is wanted.
        caps = self.budget.hard.pairs(wanted)
        full = ((unit, cap) for unit, more, cap in caps if more > 0 and getattr(taken, unit) + more > cap)
        unit, cap = next(full, ("", 0))
        if not unit:
            return ""
        return (
            f"budget {self.budget.name!r} ({self._whose()}) has no room: its cap is {shown(unit, cap)} "
            f"{_PER[self.budget.period]}, {shown(unit, getattr(taken, unit))} spent or reserved, and "
            f"this could take {shown(unit, getattr(wanted, unit))}"
        )

    def resets_at(self, day: date) -> datetime | None:
        """Give the moment at which the account begins anew, in UTC; None is never."""
        return _next_start(self.budget.period, day)

    def _whose(self) -> str:
        scope = self.account.scope
        # A digest of a key is no secret, but it is of no use to its owner either.
        if scope in (Scope.GLOBAL.value, Scope.KEY.value):
            return "all requests" if scope == Scope.GLOBAL.value else "your key"
        return f"{scope} {self.account.value!r}"


class Budgets:
    """All budgets of the settings; the thread of the ledger reads them too, so they are replaced at once.

    Args:
        config: The settings.

    Attributes:
        all: The budgets, in the order of the settings.
    """

    all: tuple[Budget, ...]

    def __init__(self, config: CostGuardConfig) -> None:
        self.reconfigure(config)

    def reconfigure(self, config: CostGuardConfig) -> None:
        """Go by other settings from now on."""
        budgets = [Budget.of(name, settings) for name, settings in config.budgets.items()]
        if config.job_usd and JOB_BUDGET not in config.budgets:
            each_job = BudgetSettings(
                scope=Scope.JOB.value, period=Period.TOTAL.value, hard_usd=config.job_usd
            )
            budgets.append(Budget.of(JOB_BUDGET, each_job))
        self.all = tuple(budgets)

    def bounds(self, labels: Labels, day: str) -> tuple[Bound, ...]:
        """List the bounds that an attempt falls under on a day."""
        values: dict[str, list[str]] = {}
        for scope, value in labels.accounts():
            values.setdefault(scope, []).append(value)
        return tuple(
            Bound(budget=budget, account=Account(budget.scope.value, value, period_key(budget.period, day)))
            for budget in self.all
            for value in values.get(budget.scope, ())
            if budget.match in ("", value)
        )


def period_key(period: Period, day: str) -> str:
    """Name the period that a day lies in: ``2026-11-21``, ``2026-11`` or ``total``."""
    if period is Period.TOTAL:
        return period.value
    return day if period is Period.DAY else day[: len("2026-11")]


def shown(unit: str, amount: int) -> str:
    """Write an amount with its unit."""
    if unit == "micro_usd":
        return f"{usd_text(amount)} USD"
    if unit == "cpu_ms":
        return f"{amount / MILLISECONDS:g} CPU seconds"
    return f"{amount} {unit.removesuffix('s') if amount == 1 else unit}"


_PER = {Period.DAY: "per day", Period.MONTH: "per month", Period.TOTAL: "in all"}


def _caps(usd: float | None, tokens: int | None, cpu_seconds: int | None, calls: int | None) -> Caps:
    return Caps(
        micro_usd=None if usd is None else micro_usd(usd),
        tokens=tokens,
        cpu_ms=None if cpu_seconds is None else cpu_seconds * MILLISECONDS,
        calls=calls,
    )


def _match(settings: BudgetSettings) -> str:
    """Spell the one value that a budget is for as labels do, which name models without ``:latest``."""
    return plain_name(settings.match) if settings.scope == Scope.MODEL else settings.match


def _next_start(period: Period, day: date) -> datetime | None:
    if period is Period.TOTAL:
        return None
    following = day + timedelta(days=1)
    if period is Period.MONTH:
        following = (day.replace(day=1) + _FIRST_DAY_OF_NEXT_MONTH).replace(day=1)
    return datetime.combine(following, time(), UTC)
