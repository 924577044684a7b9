"""Asking a model all questions of a request at once."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs
from aiohttp import web

from homeport.domain.errors import UnsupportedError
from homeport.domain.generation import GenerationRequest, Sampling, Usage
from homeport.domain.models import Capability
from homeport.server.decisions.probabilities import read_labels
from homeport.server.decisions.questions import Question, prompt_of
from homeport.server.generations import Outcome, running
from homeport.server.keep_alive import read_keep_alive
from homeport.server.limits import MAX_CHOICES
from homeport.server.lookup import find_model
from homeport.server.option_fields import model_options
from homeport.server.options import Options
from homeport.server.privileges import bounded_keep_alive
from homeport.server.quoting import quoted
from homeport.server.request_ids import generation_id
from homeport.server.sampling_fields import read_window
from homeport.server.schemas.terms import RequestTerms
from homeport.server.state import OWNER, RUNTIME
from homeport.server.terms import read_terms


class CannotDecideError(UnsupportedError):
    """A model that tells no probabilities of labels."""

    code = "cannot_decide"
    status = 501


class JudgedBody(Protocol):
    """What bodies of requests for decisions have in common."""

    num_ctx: int | None
    keep_alive: Any
    homeport: RequestTerms | None


@attrs.frozen
class Verdict:
    """How likely each answer to a question is, in the order of its labels, and what it took to know."""

    probabilities: tuple[float, ...]
    usage: Usage


@attrs.frozen
class Verdicts:
    """The verdicts on all questions, in order, and what headers tell of them."""

    each: tuple[Verdict, ...]
    headers: Mapping[str, str]


async def judge(
    request: web.Request,
    body: JudgedBody,
    model: str,
    state: str,
    questions: Sequence[Question],
    *,
    field: str,
) -> Verdicts:
    """Ask all questions; they share what is computed of the state.

    Args:
        request: Being answered.
        body: Of it.
        model: The name as the client sent it.
        state: What the questions are about.
        questions: At least one.
        field: Where the client put what they are about.

    Raises:
        CannotDecideError: The model, or its server, tells no probabilities of labels.
        ContextOverflowError: State and a question exceed the window.
        HomeportError: What else failed.
    """
    info = await find_model(request, model)
    if Capability.COMPLETION not in info.capabilities:
        raise _cannot_decide(model, "it writes no text")
    options = Options(num_ctx=read_window(body.num_ctx)).over(model_options(info))
    wanted = [
        attrs.evolve(_request(request, body, model, state, question), context_length=options.context_length)
        for question in questions
    ]
    gateway = request.app[RUNTIME].gateway
    at_once = _most_at_once(request)
    outcomes: list[Outcome] = []
    headers: dict[str, str] = {}
    try:
        for first in range(0, len(wanted), at_once):
            batch = wanted[first : first + at_once]
            async with running(gateway, batch, {"prompt": field, "messages": field}) as generations:
                outcomes += await generations.outcomes()
            headers = headers or generations.headers
    except UnsupportedError as error:
        raise _cannot_decide(model, error.message) from error
    verdicts = [
        _verdict(model, question, outcome) for question, outcome in zip(questions, outcomes, strict=True)
    ]
    return Verdicts(tuple(verdicts), headers)


def _most_at_once(request: web.Request) -> int:
    """Bound what runs at once by what one request, and one key, may have in the house."""
    settings = request.app[RUNTIME].reload.settings.gateway
    bounds = [MAX_CHOICES, settings.max_waiting]
    if settings.max_running_per_key and request[OWNER]:
        bounds.append(settings.max_running_per_key)
    return min(bounds)


def _request(
    request: web.Request, body: JudgedBody, model: str, state: str, question: Question
) -> GenerationRequest:
    asked = read_terms(request, body.homeport)
    return GenerationRequest(
        id=generation_id(request),
        model=model,
        prompt=prompt_of(state, question),
        sampling=Sampling(labels=question.labels, temperature=0, max_tokens=1),
        truncate=False,
        keep_alive_seconds=bounded_keep_alive(request, read_keep_alive(body.keep_alive)),
        priority=asked.priority,
        owner=request[OWNER],
        terms=asked.terms,
    )


def _verdict(model: str, question: Question, outcome: Outcome) -> Verdict:
    probabilities = read_labels(question.labels, outcome.logprobs)
    if probabilities is None:
        raise _cannot_decide(model, "its server reports no probabilities of labels")
    return Verdict(probabilities, outcome.finished.usage)


def _cannot_decide(model: str, why: str) -> CannotDecideError:
    return CannotDecideError(f"{quoted(model)} cannot decide: {why}", field="model")
