"""``POST /v1/completions``: text after prompts, as they are."""

from collections.abc import Sequence

from aiohttp import web

from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import Prompt, TextPrompt, TokenPrompt
from homeport.server.bodies import read_body
from homeport.server.limits import MAX_INTEGER
from homeport.server.lookup import find_model, require_generation, required
from homeport.server.openai.inference import choices_per_prompt, envelope_of, infer
from homeport.server.openai.inputs import read_inputs
from homeport.server.openai.options import bounded
from homeport.server.openai.text_choices import TextEncoder
from homeport.server.quoting import shown
from homeport.server.refusals import lacks_capability
from homeport.server.schemas.openai import CompletionRequest

_MOST_LOGPROBS = 5


async def completions(request: web.Request) -> web.StreamResponse:
    """Continue prompts."""
    body = await read_body(request, CompletionRequest)
    name = required(body.model)
    model = await find_model(request, name)
    require_generation(model, name, "generate")
    if body.suffix:
        raise lacks_capability(name, "insert", field="suffix")
    _check_best_of(body)
    inputs = _inputs(body)
    top_logprobs = bounded("logprobs", body.logprobs, 0, _MOST_LOGPROBS)
    encoder = TextEncoder(
        envelope_of(body, name, prefix="cmpl", whole="text_completion", chunk="text_completion"),
        echoes=_echoes(body, inputs),
        reports_logprobs=top_logprobs is not None,
    )
    return await infer(
        request,
        body,
        model,
        [_prompt(value) for value in inputs],
        encoder,
        max_tokens=bounded("max_tokens", body.max_tokens, 0, MAX_INTEGER),
        top_logprobs=top_logprobs,
    )


def _inputs(body: CompletionRequest) -> Sequence[str | tuple[int, ...]]:
    inputs = read_inputs("prompt", body.prompt)
    if not inputs or not all(inputs):
        raise InvalidRequestError(f"prompt must not be empty, got {shown(body.prompt)}", field="prompt")
    return inputs


def _prompt(value: str | tuple[int, ...]) -> Prompt:
    return TextPrompt(value) if isinstance(value, str) else TokenPrompt(value)


def _echoes(body: CompletionRequest, inputs: Sequence[str | tuple[int, ...]]) -> Sequence[str]:
    if not body.echo:
        return ()
    texts = [value for value in inputs if isinstance(value, str)]
    if body.logprobs is not None or len(texts) != len(inputs):
        companion = "token ids" if body.logprobs is None else "logprobs"
        raise InvalidRequestError(f"echo with {companion} is not supported yet, got true", field="echo")
    return texts


def _check_best_of(body: CompletionRequest) -> None:
    choices = choices_per_prompt(body)
    if body.best_of is not None and body.best_of != choices:
        message = f"best_of other than n is not supported yet, got {body.best_of} with n {choices}"
        raise InvalidRequestError(message, field="best_of")
