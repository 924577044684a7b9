"""Candidates in the order that the routers give them."""

from collections.abc import Sequence

import attrs
from loguru import logger

from homeport.domain.errors import Refusal, RefusedError
from homeport.gateway.routing.decision import RouteStep
from homeport.gateway.routing.eligibility import key_of
from homeport.plugin.protocols import Candidate, Request, Router

ONLY = "only"
"""Reason of a candidate that has no other beside it."""
ORDER = "order"
"""Reason of a candidate that stood first and was left there."""


@attrs.frozen(kw_only=True)
class Ranking:
    """Candidates, best first, and how they came into this order.

    Attributes:
        candidates: None where a router left none.
        reason: ``only``, ``order``, or the name of the router that put the first one there.
        is_moved: Whether a router did.
        steps: One for each router.
        refusals: Whom routers left out.
    """

    candidates: tuple[Candidate, ...]
    reason: str
    is_moved: bool = False
    steps: tuple[RouteStep, ...] = ()
    refusals: tuple[Refusal, ...] = ()


class Routing:
    """Applies the configured routers one after another.

    Args:
        routers: Name and object of each, in order.
    """

    def __init__(self, routers: Sequence[tuple[str, Router]]) -> None:
        self._routers = tuple(routers)

    def rank(self, request: Request, candidates: Sequence[Candidate]) -> Ranking:
        """Order the candidates; each router sees what the one before it left.

        A router can order candidates and leave some out, but not bring in others. One that fails is passed
        over; one that refuses the request ends it.

        Args:
            request: With its seed set: equal arguments give an equal ranking.
            candidates: As they stand now.

        Raises:
            RefusedError: A router's own.
        """
        ranked = tuple(candidates)
        reason = ONLY if len(ranked) == 1 else ORDER
        steps: list[RouteStep] = []
        refusals: list[Refusal] = []
        for name, router in self._routers:
            if not ranked:
                break
            before = tuple(_unnoted(each) if each.note else each for each in ranked)
            step = _step(name, router, request, before)
            ranked = step.order
            steps.append(step)
            refusals.extend(_left_out(name, before, ranked))
            if ranked and key_of(ranked[0]) != key_of(before[0]):
                reason = name
        return Ranking(
            candidates=ranked,
            reason=reason,
            is_moved=reason not in (ONLY, ORDER),
            steps=tuple(steps),
            refusals=tuple(refusals),
        )


def _step(name: str, router: Router, request: Request, candidates: tuple[Candidate, ...]) -> RouteStep:
    try:
        order = _known(router.rank(request, candidates), candidates)
    except RefusedError:
        raise
    except Exception as error:  # noqa: BLE001 - a router is a plugin and may raise anything
        logger.warning("router {} failed and is passed over: {!r}", name, error)
        return RouteStep(name=name, order=candidates, failure=type(error).__name__)
    return RouteStep(name=name, order=order)


def _known(order: Sequence[Candidate], candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Keep what stood there before, each once, with the notes and groups that the router gave."""
    left = {key_of(each): each for each in candidates}
    found: list[Candidate] = []
    for each in order:
        original = left.pop(key_of(each), None)
        if original is not None:
            found.append(_said(original, each))
    return tuple(found)


def _said(candidate: Candidate, told: Candidate) -> Candidate:
    """Keep of what a router gives back only what it may say."""
    complexity = None if told.complexity is None else min(1.0, max(0.0, float(told.complexity)))
    # Written out: attrs.evolve takes four times as long, and there is one call per router and candidate.
    return Candidate(
        candidate.backend,
        candidate.model,
        candidate.standing,
        note=str(told.note),
        group=int(told.group),
        complexity=complexity,
    )


def _unnoted(candidate: Candidate) -> Candidate:
    return Candidate(
        candidate.backend,
        candidate.model,
        candidate.standing,
        group=candidate.group,
        complexity=candidate.complexity,
    )


def _left_out(router: str, before: Sequence[Candidate], after: Sequence[Candidate]) -> list[Refusal]:
    if len(before) == len(after):
        return []
    kept = {key_of(each) for each in after}
    return [
        Refusal(each.backend, each.model.name, f"router {router!r} left it out")
        for each in before
        if key_of(each) not in kept
    ]
