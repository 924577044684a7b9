"""Who else may be asked: fallbacks, a canary, a shadow."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum

import attrs

from homeport.config.gateway_settings import Chain, GatewaySettings
from homeport.domain.generation import GenerationRequest
from homeport.gateway.routing.destination import Destination, Destinations
from homeport.gateway.routing.eligibility import Eligibility, key_of
from homeport.gateway.routing.inquiry import Inquiry
from homeport.gateway.target import TargetKey
from homeport.plugin.protocols import Candidate

MOST_FALLBACKS = 4
"""Targets of one chain, and others that one request tries; who waits for more is better off with an error."""
_SURE_CALLS = 20
_LEAST_SUCCESS = 0.5
"""A model on trial that succeeds less often than that, over twenty calls, gets no more requests."""


class TrialKind(StrEnum):
    """How a model is tried out."""

    CANARY = "canary"
    SHADOW = "shadow"


@attrs.frozen(kw_only=True)
class Others:
    """Who may be asked besides those that were ranked.

    Attributes:
        canary: Who is tried out first.
        shadow: Who is asked too, without anybody waiting for it.
        chains: Whom to ask when they fail, by what they fail with.
    """

    canary: Candidate | None
    shadow: Candidate | None
    chains: Mapping[Chain, tuple[Candidate, ...]]

    @property
    def everyone(self) -> dict[TargetKey, Candidate]:
        """All of them, each once."""
        trials = (each for each in (self.canary, self.shadow) if each is not None)
        chained = (each for chain in self.chains.values() for each in chain)
        return {key_of(each): each for each in (*trials, *chained)}

    def among(self, allowed: Mapping[TargetKey, Candidate]) -> "Others":
        """Keep those that are allowed, as they are given there."""
        canary = None if self.canary is None else allowed.get(key_of(self.canary))
        shadow = None if self.shadow is None else allowed.get(key_of(self.shadow))
        chains = {
            kind: tuple(allowed[key_of(each)] for each in chain if key_of(each) in allowed)
            for kind, chain in self.chains.items()
        }
        return Others(canary=canary, shadow=shadow, chains=chains)

    def chain(self, kind: Chain, taken: Collection[TargetKey]) -> tuple[Candidate, ...]:
        """Give a chain without those that are asked anyway."""
        return tuple(each for each in self.chains[kind] if key_of(each) not in taken)


@attrs.frozen(kw_only=True)
class Alternatives:
    """Finds further targets for requests.

    Attributes:
        destinations: Read the names.
        eligibility: Says who could serve.
        settings: Name the general chains.
    """

    destinations: Destinations
    eligibility: Eligibility
    settings: GatewaySettings

    def chain(self, inquiry: Inquiry, kind: Chain, taken: Sequence[Candidate] = ()) -> tuple[Candidate, ...]:
        """Resolve a chain, at most four targets, leaving out who could not serve the request later either.

        Args:
            inquiry: Of the request.
            kind: Which chain; that of the route comes before the general one.
            taken: Who is asked anyway.
        """
        names: tuple[str, ...] = getattr(inquiry.destination.settings, kind) or getattr(self.settings, kind)
        if not names:
            return ()
        found: list[Candidate] = []
        known = {key_of(each) for each in taken}
        for each in (each for name in names for each in self._named(inquiry, name)):
            if key_of(each) in known or len(found) == MOST_FALLBACKS:
                continue
            objection = self.eligibility.objection(inquiry.needs, each)
            if objection is None or objection.passes:
                known.add(key_of(each))
                found.append(each)
        return tuple(found)

    def ready(self, inquiry: Inquiry, kind: Chain) -> tuple[Candidate, ...]:
        """Give those of a chain that could serve at once."""
        eligibility = self.eligibility
        return tuple(
            each
            for each in self.chain(inquiry, kind)
            if not (eligibility.objection(inquiry.needs, each) or eligibility.failing_objection(each))
        )

    def others(self, inquiry: Inquiry, ranked: Sequence[Candidate]) -> Others:
        """Find all that may be asked besides those that were ranked."""
        return Others(
            canary=self.canary(inquiry),
            shadow=self.shadow(inquiry),
            chains={kind: self.chain(inquiry, kind, ranked) for kind in Chain},
        )

    def canary(self, inquiry: Inquiry) -> Candidate | None:
        """Draw whether a request is one of the share that a canary gets, and find it."""
        settings = inquiry.destination.settings
        return self._on_trial(inquiry, TrialKind.CANARY, settings.canary, settings.canary_share)

    def shadow(self, inquiry: Inquiry) -> Candidate | None:
        """Draw whether a shadow is asked too, and find it.

        It is on this machine, unless the setting names it as a model.
        """
        if not isinstance(inquiry.request, GenerationRequest):
            return None
        settings = inquiry.destination.settings
        return self._on_trial(inquiry, TrialKind.SHADOW, settings.shadow, settings.shadow_share)

    def _on_trial(
        self, inquiry: Inquiry, kind: TrialKind, name: str | None, share: float
    ) -> Candidate | None:
        route = inquiry.destination
        if name is None or inquiry.chance(kind).random() >= share:
            return None
        if (
            self.eligibility.standings.trial_requests(trial_name(route, kind))
            >= route.settings.trial_requests
        ):
            return None
        destination = self.destinations.find(name, inquiry.offers, inquiry.needs.wanted)
        if destination is None:
            return None
        for each in (each for group in destination.groups for each in group):
            is_named = destination.is_model or not each.model.is_remote
            if is_named and self._may_be_tried(inquiry, each):
                return each
        return None

    def _may_be_tried(self, inquiry: Inquiry, candidate: Candidate) -> bool:
        eligibility = self.eligibility
        key = key_of(candidate)
        track = eligibility.standings.track(key, inquiry.needs.task)
        is_failing = track.calls >= _SURE_CALLS and track.success_rate < _LEAST_SUCCESS
        return not (
            is_failing
            or eligibility.refusal(key, (key, *map(key_of, inquiry.destination.groups[0])))
            or eligibility.objection(inquiry.needs, candidate)
        )

    def _named(self, inquiry: Inquiry, name: str) -> tuple[Candidate, ...]:
        found = self.destinations.find(name, inquiry.offers, inquiry.needs.wanted)
        return () if found is None else tuple(each for group in found.groups for each in group)


def trial_name(route: Destination, kind: TrialKind) -> str:
    """Name a trial, so that another model on trial is another one."""
    return f"{kind} of {route.route}: {getattr(route.settings, kind)}"
