"""Which backends serve a request: eligibility first, then weights, sessions, routers and trials."""

import random
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import attrs

from homeport.config.gateway_settings import Chain
from homeport.config.settings import Settings
from homeport.domain.errors import HomeportError, RefusedError
from homeport.domain.generation import GenerationRequest, TextPrompt
from homeport.domain.models import Capability, ModelInfo
from homeport.domain.terms import Strategy, Terms
from homeport.gateway.routing.affinity import Affinity
from homeport.gateway.routing.alternatives import Alternatives, Others, TrialKind, trial_name
from homeport.gateway.routing.decision import Decision, RouteStep
from homeport.gateway.routing.destination import Destinations
from homeport.gateway.routing.eligibility import Eligibility, Need, Needs, Residence, key_of
from homeport.gateway.routing.inquiry import Inquiry
from homeport.gateway.routing.ranking import Routing
from homeport.gateway.routing.selection import Selection
from homeport.gateway.routing.sharing import shared
from homeport.gateway.routing.standings import Standings
from homeport.gateway.target import TargetKey
from homeport.models.catalog import Catalog
from homeport.plugin.protocols import Candidate, Guard, Request, Router, Standing

if TYPE_CHECKING:
    from homeport.gateway.admission.line import TargetLoad

CONTEXT = "context"
"""Step that turned to models with a larger window."""
FALLBACK = "fallback"
"""Step that turned to the fallbacks because all that were asked for keep failing."""
_SEED_BITS = 53
"""A whole number of so many bits survives JSON, also where numbers are doubles."""

Plan = tuple[Decision, HomeportError | None]
"""A decision, and what is wrong with it."""


class RoutePlanner:
    """Plans requests.

    Args:
        catalog: Knows the models.
        routers: Name and object of each, in order.
        guards: Asked for objections, in order.
        settings: Name tiers, routes and fallbacks.
        standings: How targets did so far.
        refusal: Says why a target must not be called now, given all that could be; empty where it may.
        load_of: Tells what a target is doing.
        residency: Says whether a candidate is in memory or would fit.
        chance: Draws the seeds of requests that have none.
        affinity: Remembers conversations; begins anew where none is given.

    Raises:
        ConfigError: A route whose weights do not match its models.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        routers: Sequence[tuple[str, Router]],
        guards: Sequence[Guard],
        settings: Settings,
        standings: Standings,
        refusal: Callable[[TargetKey, Collection[TargetKey]], str],
        load_of: "Callable[[TargetKey], TargetLoad]",
        residency: Callable[[Candidate], Residence],
        chance: random.Random,
        affinity: Affinity | None = None,
    ) -> None:
        self.routing = Routing(routers)
        self.destinations = Destinations(catalog, settings)
        self.affinity = affinity or Affinity()
        self._catalog = catalog
        self._standings = standings
        self._load_of = load_of
        self._chance = chance
        self._strategy = Strategy(settings.gateway.strategy)
        self._eligibility = Eligibility(
            guards=tuple(guards),
            standings=standings,
            refusal=refusal,
            residency=residency,
            context_length=settings.models.context_length,
        )
        self._alternatives = Alternatives(
            destinations=self.destinations, eligibility=self._eligibility, settings=settings.gateway
        )

    async def decide(self, request: Request) -> Decision:
        """Decide who serves a request.

        Raises:
            ModelNotFoundError: Nobody offers a model of that name.
            InvalidRequestError: It is no name.
            NoRouteError: Nobody can serve it; lists why.
            OverloadedError: Nobody can now.
            RefusedError: A router left nobody.
        """
        inquiry = await self._inquire(request)
        decision, failure = self._plan(inquiry)
        if failure is not None:
            raise failure
        if decision.canary:
            self._standings.note_trial(trial_name(inquiry.destination, TrialKind.CANARY))
        if decision.shadow is not None:
            self._standings.note_trial(trial_name(inquiry.destination, TrialKind.SHADOW))
        return decision

    async def explain(self, request: Request) -> Decision:
        """Decide as :meth:`decide` does, and change nothing; ``ranked`` is empty where nobody can serve.

        Raises:
            ModelNotFoundError: Nobody offers a model of that name.
            InvalidRequestError: It is no name.
        """
        return self._plan(await self._inquire(request))[0]

    async def describe(self, name: str, wanted: Capability) -> ModelInfo:
        """Describe what a name stands for, as far as that does not depend on a request.

        Raises:
            ModelNotFoundError: Nobody offers it.
            NoRouteError: It stands for models of which none is offered.
            InvalidRequestError: It is no name.
        """
        offers = await self._catalog.offers()
        found = self.destinations.find(name, offers, wanted)
        if found is None:
            raise await self._catalog.absence(offers, name)
        model = found.describe(wanted)
        if model is None:
            raise Selection(missing=found.missing).failure(name)
        return model

    async def candidates(self, name: str) -> tuple[Candidate, ...]:
        """List who could serve a model; of a name that leaves a choice, who would serve it now.

        Raises:
            ModelNotFoundError: Nobody offers it.
            NoRouteError: It stands for models of which none can serve.
            OverloadedError: None can now.
            InvalidRequestError: It is no name.
        """
        offers = await self._catalog.offers()
        found = self.destinations.find(name, offers, Capability.COMPLETION)
        if found is None:
            raise await self._catalog.absence(offers, name)
        if found.is_model:
            return found.groups[0]
        request = GenerationRequest(id="", model=name, prompt=TextPrompt(""), terms=Terms(seed=0))
        decision, failure = self._plan(await self._inquire(request))
        if failure is not None:
            raise failure
        return decision.ranked[:1]

    def objection(self, request: Request, candidate: Candidate) -> str:
        """Say why one that was chosen as next cannot serve a request any more; empty where it can."""
        found = self._eligibility.present_objection(Needs.of(request), candidate)
        found = found or self._eligibility.failing_objection(candidate)
        return "" if found is None else found.reason

    def served(self, request: Request, candidate: Candidate) -> None:
        """Take note of who served a request, for those that follow in its conversation."""
        self.affinity.note(request, key_of(candidate))

    async def _inquire(self, request: Request) -> Inquiry:
        terms = request.terms
        seed = self._chance.getrandbits(_SEED_BITS) if terms.seed is None else terms.seed
        strategy = terms.strategy or self._strategy
        request = attrs.evolve(request, terms=attrs.evolve(terms, seed=seed, strategy=strategy))
        needs = Needs.of(request)
        offers = await self._catalog.offers()
        destination = self.destinations.find(request.model, offers, needs.wanted)
        if destination is None:
            raise await self._catalog.absence(offers, request.model)
        return Inquiry(request=request, seed=seed, needs=needs, offers=offers, destination=destination)

    def _plan(self, inquiry: Inquiry) -> Plan:
        asked = inquiry.request.model
        selection, steps = self._select(inquiry)
        decision = Decision(
            asked=asked,
            seed=inquiry.seed,
            tier=inquiry.destination.tier,
            route=inquiry.destination.route,
            refusals=selection.refusals,
            steps=steps,
        )
        if not selection.eligible:
            return decision, selection.failure(asked)
        decision = attrs.evolve(decision, considered=self._stood(inquiry, selection.eligible))
        is_elsewhere = any(step.name in (CONTEXT, FALLBACK) for step in steps)
        return self._ranked(inquiry, decision if is_elsewhere else shared(inquiry, decision))

    def _select(self, inquiry: Inquiry) -> tuple[Selection, tuple[RouteStep, ...]]:
        """Find who can serve: with a larger window where the prompt needs one, or instead of who fails."""
        destination, needs = inquiry.destination, inquiry.needs
        found = Selection.of(destination, needs, self._eligibility)
        if self._is_too_long(inquiry, found):
            larger = self._alternatives.ready(inquiry, Chain.CONTEXT)
            larger = larger or self._alternatives.chain(inquiry, Chain.CONTEXT)
            if larger:
                return attrs.evolve(found, eligible=larger), (RouteStep(name=CONTEXT, order=larger),)
        if not found.eligible and destination.is_model and found.unmet(Need.CONTEXT):
            # Its backend cuts the prompt or refuses it in its own words, as for a model with one backend.
            needs = attrs.evolve(needs, prompt_tokens=0, answer_tokens=0)
            found = Selection.of(destination, needs, self._eligibility)
        failing = found.failing(self._eligibility)
        is_missing = not found.eligible and not found.objections
        fallbacks = self._alternatives.ready(inquiry, Chain.GENERAL) if failing or is_missing else ()
        if fallbacks:
            objections = (*found.objections, *failing)
            found = attrs.evolve(found, eligible=fallbacks, objections=objections)
            return found, (RouteStep(name=FALLBACK, order=fallbacks),)
        return found.with_last_hope()

    def _is_too_long(self, inquiry: Inquiry, found: Selection) -> bool:
        if not inquiry.destination.is_model:
            return not found.eligible and bool(found.unmet(Need.CONTEXT))
        candidates = inquiry.destination.groups[0]
        return all(self._eligibility.context_objection(inquiry.needs, each) for each in candidates)

    def _stood(self, inquiry: Inquiry, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """Tell of each candidate how it stands."""
        served = self.affinity.target(inquiry.request) if candidates else None
        return tuple(
            Candidate(each.backend, each.model, self._standing(inquiry, each, served)) for each in candidates
        )

    def _standing(self, inquiry: Inquiry, candidate: Candidate, served: TargetKey | None) -> Standing:
        key = key_of(candidate)
        load = self._load_of(key)
        track = self._standings.track(key, inquiry.needs.task)
        return Standing(
            in_flight=load.in_flight,
            waiting=load.waiting,
            slots=candidate.model.slots or load.limit or 1,
            latency_seconds=track.latency_seconds,
            success_rate=track.success_rate,
            is_resident=self._eligibility.residency(candidate).is_resident,
            weight=candidate.standing.weight,
            tier=candidate.standing.tier,
            served_before=key == served,
        )

    def _ranked(self, inquiry: Inquiry, decision: Decision) -> Plan:
        ranking = self.routing.rank(inquiry.request, decision.considered)
        own = decision.steps[-1].name if decision.steps else ranking.reason
        decision = attrs.evolve(
            decision,
            ranked=ranking.candidates,
            refusals=(*decision.refusals, *ranking.refusals),
            steps=(*decision.steps, *ranking.steps),
            reason=ranking.reason if ranking.is_moved else own,
        )
        if not ranking.candidates:
            refused = ", ".join(str(key_of(each)) for each in decision.considered)
            text = f"router {ranking.steps[-1].name!r} refuses every backend of model {decision.asked!r}"
            return decision, RefusedError(f"{text}: {refused}")
        return self._with_others(inquiry, decision), None

    def _with_others(self, inquiry: Inquiry, decision: Decision) -> Decision:
        others = self._alternatives.others(inquiry, decision.ranked)
        others = others.among(self._allowed(inquiry, decision.considered, others))
        decision = _with_canary(decision, others.canary)
        taken = {key_of(each) for each in decision.ranked}
        shadow = others.shadow
        if shadow is not None and key_of(shadow) == key_of(decision.ranked[0]):
            shadow = None
        return attrs.evolve(
            decision,
            fallbacks=others.chain(Chain.GENERAL, taken),
            context_fallbacks=others.chain(Chain.CONTEXT, taken),
            content_fallbacks=others.chain(Chain.CONTENT, taken),
            shadow=shadow,
        )

    def _allowed(
        self, inquiry: Inquiry, considered: Sequence[Candidate], others: Others
    ) -> dict[TargetKey, Candidate]:
        """Keep those that no router leaves out: what it forbids, no fallback or trial does."""
        everyone = others.everyone
        if not everyone:
            return {}
        known = {key_of(each): each for each in considered}
        further = [each for key, each in everyone.items() if key not in known]
        known |= {key_of(each): each for each in self._stood(inquiry, further)}
        try:
            ranking = self.routing.rank(inquiry.request, tuple(known.values()))
        except RefusedError:
            return {}
        return {key: known[key] for key in map(key_of, ranking.candidates)}


def _with_canary(decision: Decision, canary: Candidate | None) -> Decision:
    if canary is None:
        return decision
    others = (each for each in decision.ranked if key_of(each) != key_of(canary))
    ranked = (canary, *others)
    steps = (*decision.steps, RouteStep(name=TrialKind.CANARY, order=ranked))
    return attrs.evolve(decision, ranked=ranked, steps=steps, reason=TrialKind.CANARY.value, canary=True)
