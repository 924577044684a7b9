"""Who of a destination can serve a request, and the error where nobody can."""

from collections.abc import Sequence
from typing import Self

import attrs

from homeport.domain.errors import BackendError, HomeportError, NoRouteError, Refusal
from homeport.domain.overload import OverloadedError
from homeport.gateway.routing.decision import RouteStep
from homeport.gateway.routing.destination import NO_BACKEND, Destination
from homeport.gateway.routing.eligibility import Eligibility, Need, Needs, Objection, key_of
from homeport.plugin.protocols import Candidate

LAST_HOPE = "last-hope"
"""Step that lets models try for which there was no memory, or no budget, a moment ago."""
_RETRY_AFTER_SECONDS = 5
_FAILING = (Need.BREAKER, Need.PRESENCE)
"""Needs that a fallback makes up for."""


@attrs.frozen(kw_only=True)
class Selection:
    """The candidates that are left, and why the others are not.

    Attributes:
        eligible: Those left, in the order of the destination.
        objections: To each of those looked at before one was left.
        missing: Models that were named and that nobody offers.
    """

    eligible: tuple[Candidate, ...] = ()
    objections: tuple[tuple[Candidate, Objection], ...] = ()
    missing: tuple[Refusal, ...] = ()

    @classmethod
    def of(cls, destination: Destination, needs: Needs, eligibility: Eligibility) -> Self:
        """Look at all candidates of a destination.

        The only backend of a model is not turned away for what its own answer, or a guard's, tells better.
        """
        groups = destination.groups
        if destination.is_model and len(groups) == 1 and len(groups[0]) == 1:
            found = _firm(groups[0][0], needs, eligibility)
        else:
            found = _objections(groups, needs, eligibility)
        objections: list[tuple[Candidate, Objection]] = []
        for group, answers in zip(groups, found, strict=True):
            pairs = tuple(zip(group, answers, strict=True))
            objections.extend((each, objection) for each, objection in pairs if objection is not None)
            eligible = tuple(each for each, objection in pairs if objection is None)
            if eligible:
                return cls(eligible=eligible, objections=tuple(objections), missing=destination.missing)
        return cls(objections=tuple(objections), missing=destination.missing)

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Say of each candidate that fell out why it did."""
        return (*(objection.of(each) for each, objection in self.objections), *self.missing)

    def with_last_hope(self) -> "tuple[Selection, tuple[RouteStep, ...]]":
        """Where nobody is left, let those try whose own refusal is better than that of an empty set.

        A backend waits for memory to become free, and a guard names scope, cap and when it begins anew.
        """
        hopes = () if self.eligible else self.unmet(Need.MEMORY, Need.BUDGET)
        if not hopes:
            return self, ()
        return attrs.evolve(self, eligible=hopes), (RouteStep(name=LAST_HOPE, order=hopes),)

    def failing(self, eligibility: Eligibility) -> tuple[tuple[Candidate, Objection], ...]:
        """Tell why a fallback should serve: all that are left, or would be, keep failing or are away."""
        found = [(each, eligibility.failing_objection(each)) for each in self.eligible]
        failing = tuple((each, objection) for each, objection in found if objection is not None)
        if len(failing) < len(found):
            return ()
        return failing or tuple(pair for pair in self.objections if pair[1].need in _FAILING)

    def unmet(self, *needs: Need) -> tuple[Candidate, ...]:
        """Pick those that fell out for one of some needs."""
        return tuple(each for each, objection in self.objections if objection.need in needs)

    def failure(self, asked: str) -> HomeportError:
        """Build the error of a request that nobody can serve."""
        refusals = self.refusals or (Refusal(NO_BACKEND, asked, "no model is installed or offered"),)
        none = NoRouteError(asked, refusals)
        if self.objections and all(each.need is Need.PRESENCE for _, each in self.objections):
            return BackendError(none.message)
        if any(refusal.passes for refusal in refusals):
            return OverloadedError(none.message, retry_after_seconds=_RETRY_AFTER_SECONDS)
        return none


def _firm(candidate: Candidate, needs: Needs, eligibility: Eligibility) -> list[list[Objection | None]]:
    return [[eligibility.firm_objection(needs, candidate)]]


def _objections(
    groups: Sequence[Sequence[Candidate]], needs: Needs, eligibility: Eligibility
) -> list[list[Objection | None]]:
    """Look at every candidate, and last at breakers: those of others that cannot serve do not count."""
    found = [[eligibility.objection(needs, each) for each in group] for group in groups]
    left = {
        key_of(each)
        for group, answers in zip(groups, found, strict=True)
        for each, objection in zip(group, answers, strict=True)
        if objection is None
    }
    return [
        [
            objection or eligibility.breaker_objection(each, left)
            for each, objection in zip(*pair, strict=True)
        ]
        for pair in zip(groups, found, strict=True)
    ]
