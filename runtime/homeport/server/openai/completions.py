"""``POST /v1/completions``: text after prompts, as they are."""

from collections.abc import Sequence

from aiohttp import web

from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import FillPrompt, Prompt, TextPrompt, TokenPrompt
from homeport.domain.models import Capability, ModelInfo
from homeport.server.bodies import read_body
from homeport.server.limits import MAX_INTEGER, bounded
from homeport.server.lookup import find_model, require_generation, required
from homeport.server.openai.answer_forms import read_form
from homeport.server.openai.echoes import Echoes
from homeport.server.openai.inference import choices_per_prompt, envelope_of, infer
from homeport.server.openai.inputs import read_inputs
from homeport.server.openai.text_choices import TextEncoder
from homeport.server.quoting import shown
from homeport.server.refusals import lacks_capability
from homeport.server.schemas.openai import CompletionRequest

_MOST_LOGPROBS = 5

Input = str | tuple[int, ...]


async def completions(request: web.Request) -> web.StreamResponse:
    """Continue prompts."""
    body = await read_body(request, CompletionRequest)
    name = required(body.model)
    wanted = Capability.INSERT if body.suffix else Capability.COMPLETION
    model = await find_model(request, name, wanted=wanted)
    require_generation(model, name, "generate")
    _check_best_of(body)
    inputs = _inputs(body)
    _check_suffix(body, inputs, model, name)
    top_logprobs = bounded("logprobs", body.logprobs, 0, _MOST_LOGPROBS)
    envelope = envelope_of(body, name, prefix="cmpl", whole="text_completion", chunk="text_completion")
    echoes = Echoes.of(inputs, scored=top_logprobs is not None) if body.echo else Echoes()
    encoder = TextEncoder(envelope, echoes=echoes, reports_logprobs=top_logprobs is not None)
    return await infer(
        request,
        body,
        model,
        [_prompt(value, body.suffix) for value in inputs],
        encoder,
        max_tokens=bounded("max_tokens", body.max_tokens, 0, MAX_INTEGER),
        top_logprobs=top_logprobs,
        form=read_form(body, None),
        scores_prompt=echoes.needs_scores,
    )


def _inputs(body: CompletionRequest) -> Sequence[Input]:
    inputs = read_inputs("prompt", body.prompt)
    if not inputs or not all(inputs):
        raise InvalidRequestError(f"prompt must not be empty, got {shown(body.prompt)}", field="prompt")
    return inputs


def _prompt(value: Input, suffix: str | None) -> Prompt:
    if not isinstance(value, str):
        return TokenPrompt(value)
    return FillPrompt(value, suffix) if suffix else TextPrompt(value)


def _check_suffix(body: CompletionRequest, inputs: Sequence[Input], model: ModelInfo, name: str) -> None:
    """Check that there is text before a suffix, and a model that can fill the gap.

    Raises:
        InvalidRequestError: There are token ids, or their log-probabilities are wanted.
        UnsupportedError: The model cannot.
    """
    if not body.suffix:
        return
    if Capability.INSERT not in model.capabilities:
        raise lacks_capability(name, "insert", field="suffix")
    if not all(isinstance(value, str) for value in inputs):
        raise InvalidRequestError("suffix needs a prompt of text, got token ids", field="suffix")
    if body.echo and body.logprobs is not None:
        raise InvalidRequestError("suffix cannot stand beside echo with logprobs", field="suffix")


def _check_best_of(body: CompletionRequest) -> None:
    choices = choices_per_prompt(body)
    if body.best_of is not None and body.best_of > choices:
        message = f"best_of must be at most n, which is {choices}, got {body.best_of}"
        raise InvalidRequestError(message, field="best_of")
