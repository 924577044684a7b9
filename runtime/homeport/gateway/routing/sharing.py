"""Traffic shared out among the models of a route by their weights."""

import math
import random
from collections.abc import Sequence

import attrs

from homeport.gateway.routing.decision import Decision, RouteStep
from homeport.gateway.routing.inquiry import Inquiry
from homeport.plugin.protocols import Candidate, Standing

SESSION = "session"
"""Step that kept a session where it was."""
WEIGHTS = "weights"
"""Step that shared requests out by the weights of a route."""


def shared(inquiry: Inquiry, decision: Decision) -> Decision:
    """Order candidates by the weights of a route; a session stays where it was, given a place.

    An equal beginning alone keeps nobody: all requests of one agent begin alike.
    """
    candidates = decision.considered
    if not inquiry.destination.settings.weights or len(candidates) == 1:
        return decision
    order = drawn(candidates, inquiry.chance(WEIGHTS))
    steps = (*decision.steps, RouteStep(name=WEIGHTS, order=order))
    kept = next((each for each in order if each.standing.served_before), None)
    is_elsewhere = kept is not None and kept != order[0]
    if inquiry.request.terms.session and kept is not None and is_elsewhere and _has_place(kept.standing):
        order = (kept, *(each for each in order if each != kept))
        steps = (*steps, RouteStep(name=SESSION, order=order))
    return attrs.evolve(decision, considered=order, steps=steps)


def drawn(candidates: Sequence[Candidate], chance: random.Random) -> tuple[Candidate, ...]:
    """Draw an order in which each candidate is first as often as its weight says.

    Keys are exponential with the weight as rate, which is the logarithm of u^(1/w) (Efraimidis and Spirakis
    2006, Weighted random sampling with a reservoir) and also tells large weights apart; those without
    weight come last.
    """
    keys = [
        chance.expovariate(1) / each.standing.weight if each.standing.weight > 0 else math.inf
        for each in candidates
    ]
    order = sorted(range(len(keys)), key=lambda place: keys[place])
    return tuple(candidates[place] for place in order)


def _has_place(standing: Standing) -> bool:
    return not standing.waiting and standing.in_flight < standing.slots
