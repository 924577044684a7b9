"""``/v1/routes``: what names stand for now, and why a request would go where; nothing is run."""

from collections.abc import Sequence

import attrs
from aiohttp import web

from homeport.domain.embedding import EmbeddingRequest
from homeport.domain.errors import InvalidRequestError, ModelNotFoundError, NoBackendError, Refusal
from homeport.domain.generation import ChatPrompt, GenerationRequest, Prompt, TextPrompt
from homeport.domain.models import Capability, ModelInfo
from homeport.domain.terms import Terms
from homeport.gateway.routing.decision import Decision
from homeport.gateway.routing.destination import NO_BACKEND
from homeport.gateway.routing.planner import RoutePlanner
from homeport.plugin.protocols import Candidate, Request
from homeport.server.bodies import read_body
from homeport.server.dialects import json_response
from homeport.server.limits import MAX_EMBEDDING_INPUTS, at_most
from homeport.server.lookup import find_model, required
from homeport.server.openai.messages import read_messages
from homeport.server.openai.options import cuts_prompts, read_max_tokens, read_options
from homeport.server.openai.tools import read_offered, wanted_of
from homeport.server.option_fields import model_options
from homeport.server.request_ids import generation_id
from homeport.server.sampling_fields import DEFAULTS
from homeport.server.schemas import routing as schema
from homeport.server.state import OWNER, RUNTIME
from homeport.server.terms import read_terms

_LISTING_SEED = 0
"""Shares of traffic are drawn in the same way for every list."""


async def explain(request: web.Request) -> web.StreamResponse:
    """Decide who would serve a request, and say why."""
    body = await read_body(request, schema.ExplainRequest)
    asked = await _embedding(request, body) if body.input is not None else await _generation(request, body)
    return json_response(_explanation(await request.app[RUNTIME].gateway.planner.explain(asked)))


async def routes(request: web.Request) -> web.StreamResponse:
    """List tiers, routes and other names that stand for models, as they are resolved now."""
    planner = request.app[RUNTIME].gateway.planner
    found = [await _named(request, planner, name) for name in planner.destinations.names()]
    return json_response(schema.RouteList(data=found))


async def _generation(request: web.Request, body: schema.ExplainRequest) -> GenerationRequest:
    name = required(body.model)
    model = await find_model(request, name, wanted=wanted_of(body))
    options = read_options(body, read_max_tokens(body)).over(model_options(model)).over(DEFAULTS)
    asked = read_terms(request, body.homeport)
    return GenerationRequest(
        id=generation_id(request),
        model=name,
        prompt=_prompt(body, model, name),
        sampling=options.sampling(top_logprobs=None),
        context_length=options.context_length,
        truncate=cuts_prompts(body.truncation),
        priority=asked.priority,
        owner=request[OWNER],
        terms=asked.terms,
    )


async def _embedding(request: web.Request, body: schema.ExplainRequest) -> EmbeddingRequest:
    name = required(body.model)
    await find_model(request, name, wanted=Capability.EMBEDDING)
    texts = [body.input] if isinstance(body.input, str) else body.input or []
    at_most("input", len(texts), MAX_EMBEDDING_INPUTS, "texts")
    asked = read_terms(request, body.homeport)
    return EmbeddingRequest(
        id=generation_id(request),
        model=name,
        inputs=tuple(texts),
        priority=asked.priority,
        owner=request[OWNER],
        terms=asked.terms,
    )


def _prompt(body: schema.ExplainRequest, model: ModelInfo, name: str) -> Prompt:
    if body.messages is not None:
        return ChatPrompt(read_messages(body.messages, model, name), tools=read_offered(body))
    if body.prompt is None:
        raise InvalidRequestError("one of messages, prompt, input is required", field="messages")
    return TextPrompt(body.prompt)


def _probes(request: web.Request, name: str) -> Sequence[Request]:
    """Ask for a text, and for an embedding: a name may stand for models that do only one of them."""
    terms = Terms(seed=_LISTING_SEED)
    owner, id_ = request[OWNER], generation_id(request)
    return (
        GenerationRequest(id=id_, model=name, prompt=TextPrompt(""), owner=owner, terms=terms),
        EmbeddingRequest(id=id_, model=name, inputs=("",), owner=owner, terms=terms),
    )


async def _named(request: web.Request, planner: RoutePlanner, name: str) -> schema.RouteName:
    try:
        decisions = [await planner.explain(asked) for asked in _probes(request, name)]
    except (ModelNotFoundError, NoBackendError) as error:
        refusal = schema.RouteRefusal(
            backend=NO_BACKEND, model=name, reason=error.public_message, passes=False
        )
        return schema.RouteName(name=name, kind="route", candidates=[], refusals=[refusal], fallbacks=[])
    decision = next((each for each in decisions if each.ranked), decisions[0])
    return schema.RouteName(
        name=name,
        kind="route" if decision.route else "tier" if decision.tier else "choice",
        candidates=[_candidate(each) for each in decision.ranked],
        refusals=[_refusal(each) for each in decision.refusals],
        fallbacks=_targets(decision.fallbacks),
    )


def _explanation(decision: Decision) -> schema.Explanation:
    return schema.Explanation(
        model=decision.asked,
        seed=decision.seed,
        reason=decision.reason,
        tier=decision.tier,
        route=decision.route,
        chosen=_target(decision.ranked[0]) if decision.ranked else None,
        candidates=[_candidate(each) for each in decision.ranked],
        refusals=[_refusal(each) for each in decision.refusals],
        steps=[
            schema.RouteStep(name=step.name, order=_targets(step.order), failure=step.failure)
            for step in decision.steps
        ],
        fallbacks=_targets(decision.fallbacks),
        context_fallbacks=_targets(decision.context_fallbacks),
        content_fallbacks=_targets(decision.content_fallbacks),
        shadow=None if decision.shadow is None else _target(decision.shadow),
        canary=decision.canary,
    )


def _targets(candidates: Sequence[Candidate]) -> list[schema.RouteTarget]:
    return [_target(each) for each in candidates]


def _target(candidate: Candidate) -> schema.RouteTarget:
    return schema.RouteTarget(backend=candidate.backend, model=candidate.model.name, note=candidate.note)


def _candidate(candidate: Candidate) -> schema.RouteCandidate:
    return schema.RouteCandidate(
        backend=candidate.backend,
        model=candidate.model.name,
        note=candidate.note,
        is_remote=candidate.model.is_remote,
        **attrs.asdict(candidate.standing),
    )


def _refusal(refusal: Refusal) -> schema.RouteRefusal:
    return schema.RouteRefusal(**attrs.asdict(refusal))
