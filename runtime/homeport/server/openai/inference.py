"""What chat completions and completions share: the way from prompts to choices."""

import time
import uuid
from collections.abc import Sequence

import attrs
from aiohttp import web

from homeport.domain.generation import ChatPrompt, GenerationRequest, Prompt, Sampling
from homeport.domain.models import ModelInfo
from homeport.server.answering import Encoder, answer
from homeport.server.keep_alive import read_keep_alive
from homeport.server.limits import MAX_CHOICES, MAX_INTEGER, MAX_SEED, at_most, within
from homeport.server.openai.answer_forms import AnswerForm
from homeport.server.openai.envelope import Envelope
from homeport.server.openai.logit_bias import read_bias
from homeport.server.openai.options import cuts_prompts, read_options
from homeport.server.option_fields import model_options
from homeport.server.request_ids import generation_id
from homeport.server.sampling_fields import DEFAULTS
from homeport.server.schemas.openai import InferenceRequest, ObjectName
from homeport.server.state import OWNER
from homeport.server.streaming import SSE
from homeport.server.terms import read_terms

_MOST_CHOICES_PER_PROMPT = 8
_ID_DIGITS = 24


def choices_per_prompt(body: InferenceRequest) -> int:
    """Read ``n``.

    Raises:
        InvalidRequestError: It is out of range.
    """
    return within("n", 1 if body.n is None else body.n, 1, _MOST_CHOICES_PER_PROMPT)


def envelope_of(
    body: InferenceRequest, model: str, *, prefix: str, whole: ObjectName, chunk: ObjectName
) -> Envelope:
    """Draw what all parts of one answer share."""
    return Envelope(
        id=f"{prefix}-{uuid.uuid4().hex[:_ID_DIGITS]}",
        created=int(time.time()),
        model=model,
        choices_per_prompt=choices_per_prompt(body),
        reports_usage=bool(body.stream_options and body.stream_options.include_usage),
        whole_object=whole,
        chunk_object=chunk,
    )


async def infer(
    request: web.Request,
    body: InferenceRequest,
    model: ModelInfo,
    prompts: Sequence[Prompt],
    encoder: Encoder,
    *,
    max_tokens: int | None,
    top_logprobs: int | None,
    form: AnswerForm | None,
    scores_prompt: bool = False,
) -> web.StreamResponse:
    """Answer prompts, each with as many choices as were asked for.

    Args:
        request: Being answered.
        body: Of the request.
        model: Found under its name.
        prompts: What to continue.
        encoder: Of the route.
        max_tokens: Bound of each answer.
        top_logprobs: As in ``Sampling``.
        form: That answers must have.
        scores_prompt: Whether the encoder wants the tokens of the prompts.

    Raises:
        HomeportError: What failed before the first byte.
    """
    copies = choices_per_prompt(body)
    at_most("prompt", len(prompts), MAX_CHOICES // copies, "texts")
    options = read_options(body, max_tokens).over(model_options(model)).over(DEFAULTS)
    sampling = attrs.evolve(
        options.sampling(top_logprobs=top_logprobs),
        logit_bias=read_bias(body.logit_bias),
        ignores_end=bool(body.ignore_eos),
        prompt_logprobs=scores_prompt,
    )
    truncate = cuts_prompts(body.truncation)
    keep_alive_seconds = _keep_alive(body)
    asked = read_terms(request, body.homeport)
    generations = [
        GenerationRequest(
            id=generation_id(request),
            model=body.model or "",
            prompt=prompt,
            sampling=_seeded(sampling, copy),
            context_length=options.context_length,
            truncate=truncate,
            keep_alive_seconds=keep_alive_seconds,
            priority=asked.priority,
            owner=request[OWNER],
            terms=asked.terms,
            constraint=form.constraint if form else None,
        )
        for prompt in prompts
        for copy in range(copies)
    ]
    fields = {"format": form.field} if form else {}
    if isinstance(prompts[0], ChatPrompt):
        fields["prompt"] = "messages"
    return await answer(request, generations, encoder, framing=SSE if body.stream else None, fields=fields)


def _keep_alive(body: InferenceRequest) -> float | None:
    """Read ``keep_alive``, or ``ttl``, which is its name elsewhere and always in seconds."""
    if body.keep_alive is None and body.ttl is not None:
        return within("ttl", body.ttl, 0, MAX_INTEGER)
    return read_keep_alive(body.keep_alive)


def _seeded(sampling: Sampling, copy: int) -> Sampling:
    """Give each choice of a prompt a seed of its own, the first one that of the request."""
    if sampling.seed is None:
        return sampling
    return attrs.evolve(sampling, seed=(sampling.seed + copy) & MAX_SEED)
