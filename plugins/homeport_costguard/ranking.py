"""The router: local before remote unless the request is hard, and cheap before dear."""

from collections.abc import Callable, Sequence

import attrs

from homeport import Candidate, Request, Strategy
from homeport_costguard.config import CostGuardConfig
from homeport_costguard.money import usd_text
from homeport_costguard.plan import Pricing

CLASS_COMPLEXITY = {"simple": 0.1, "standard": 0.4, "complex": 0.75, "critical": 1.0}
"""Complexity of requests that bear a tag."""

Place = tuple[int, int]
"""Last or not, and what it costs in micro-USD."""


@attrs.frozen(kw_only=True)
class Spending:
    """What was spent lately, as the router looks at it.

    Attributes:
        local: Local ones among the last 100 attempts.
        remote: Remote ones.
        share: Gives the largest share of a cap that a candidate's budgets have taken; infinity where a soft
            cap is exceeded.
    """

    local: int
    remote: int
    share: Callable[[Request, Candidate], float]


def rank(
    config: CostGuardConfig,
    pricing: Pricing,
    spending: Spending,
    request: Request,
    candidates: Sequence[Candidate],
) -> list[Candidate]:
    """Order candidates; nobody is left out.

    With the strategy ``cost`` the cheapest stands first. Otherwise remote candidates keep their places
    if the request is complex enough, and stand behind the local ones if not, the cheapest of them first.
    One whose budgets are nearly spent stands last.
    """
    priced = [(pricing.expected(request, candidate), candidate) for candidate in candidates]
    if request.terms.strategy is Strategy.COST:
        return _ordered(
            [((0, cost), _noted(each, f"costs about {usd_text(cost)} USD")) for cost, each in priced]
        )
    complexity = complexity_of(request, candidates)
    reason = _objection(config, spending, complexity)
    placed = []
    for cost, candidate in priced:
        why = _why_last(config, spending, request, candidate, reason)
        place = (1, cost) if why else (0, 0)
        note = f"{why}, costs about {usd_text(cost)} USD" if why else ""
        placed.append((place, _noted(candidate, note)))
    return _ordered(placed)


def _ordered(placed: Sequence[tuple[Place, Candidate]]) -> list[Candidate]:
    """Sort within the groups that routers before this one made, and number the groups anew."""
    keyed = [((candidate.group, place), candidate) for place, candidate in placed]
    numbers = {key: number for number, key in enumerate(sorted({key for key, _ in keyed}))}
    ordered = sorted(keyed, key=lambda pair: pair[0])
    return [attrs.evolve(candidate, group=numbers[key]) for key, candidate in ordered]


def complexity_of(request: Request, candidates: Sequence[Candidate]) -> float | None:
    """Find how hard a request is, 0 to 1: by its tags, or by what a router before this one found."""
    tagged = [CLASS_COMPLEXITY[tag] for tag in request.terms.tags if tag in CLASS_COMPLEXITY]
    if tagged:
        return max(tagged)
    return next((each.complexity for each in candidates if each.complexity is not None), None)


def _objection(config: CostGuardConfig, spending: Spending, complexity: float | None) -> str:
    """Say why remote models have to wait; empty where they need not."""
    if complexity is None:
        return "local first, complexity unknown"
    if complexity > config.remote_complexity:
        return ""
    is_mixed = spending.local >= config.local_per_remote * max(spending.remote, 1)
    if complexity > config.mixed_complexity and is_mixed:
        return ""
    return f"local first at complexity {complexity:.2f}"


def _why_last(
    config: CostGuardConfig, spending: Spending, request: Request, candidate: Candidate, reason: str
) -> str:
    if not candidate.model.is_remote:
        return ""
    if spending.share(request, candidate) >= config.remote_cap_share:
        return f"a budget is taken to {config.remote_cap_share:.0%} or more"
    return reason


def _noted(candidate: Candidate, note: str) -> Candidate:
    if not note:
        return candidate
    return attrs.evolve(candidate, note=f"{candidate.note}; {note}" if candidate.note else note)
