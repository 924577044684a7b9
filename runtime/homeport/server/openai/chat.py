"""``POST /v1/chat/completions``: the next turn of a conversation."""

from aiohttp import web

from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import ChatPrompt
from homeport.server.bodies import read_body
from homeport.server.limits import MAX_INTEGER, check_top_logprobs
from homeport.server.lookup import find_model, require_generation, required
from homeport.server.openai.chat_choices import ChatEncoder
from homeport.server.openai.inference import envelope_of, infer
from homeport.server.openai.messages import read_messages
from homeport.server.openai.options import bounded
from homeport.server.quoting import shown
from homeport.server.refusals import is_given, lacks_capability, refuse_given
from homeport.server.schemas.openai import ChatRequest

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max")
_REFUSED = ("audio", "web_search_options", "functions", "function_call")
_FREE_TOOL_CHOICES = ("none", "auto")


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """Answer a conversation."""
    body = await read_body(request, ChatRequest)
    name = required(body.model)
    model = await find_model(request, name)
    require_generation(model, name, "chat")
    _check_later_fields(body, name)
    _check_effort(body)
    top_logprobs = _top_logprobs(body)
    messages = read_messages(body.messages, name)
    encoder = ChatEncoder(
        envelope_of(body, name, prefix="chatcmpl", whole="chat.completion", chunk="chat.completion.chunk"),
        reports_logprobs=top_logprobs is not None,
    )
    return await infer(
        request,
        body,
        model,
        [ChatPrompt(messages)],
        encoder,
        max_tokens=_max_tokens(body),
        top_logprobs=top_logprobs,
    )


def _max_tokens(body: ChatRequest) -> int | None:
    newer = bounded("max_completion_tokens", body.max_completion_tokens, 1, MAX_INTEGER)
    older = bounded("max_tokens", body.max_tokens, 1, MAX_INTEGER)
    return older if newer is None else newer


def _top_logprobs(body: ChatRequest) -> int | None:
    check_top_logprobs(body.top_logprobs)
    if body.logprobs:
        return body.top_logprobs or 0
    if body.top_logprobs is not None:
        message = f"top_logprobs needs logprobs to be true, got {shown(body.logprobs)}"
        raise InvalidRequestError(message, field="top_logprobs")
    return None


def _check_later_fields(body: ChatRequest, model: str) -> None:
    """Refuse what is not built yet and what never will be.

    Raises:
        InvalidRequestError: Such a field is given.
    """
    refuse_given(body, *_REFUSED)
    if body.modalities and body.modalities != ["text"]:
        message = f'modalities must be ["text"], got {shown(body.modalities)}'
        raise InvalidRequestError(message, field="modalities")
    if body.tools:
        raise lacks_capability(model, "tools", field="tools")
    if is_given(body.tool_choice) and body.tool_choice not in _FREE_TOOL_CHOICES:
        message = f"tool_choice is not supported yet, got {shown(body.tool_choice)}"
        raise InvalidRequestError(message, field="tool_choice")
    kind = body.response_format.type if body.response_format else None
    if kind not in (None, "text"):
        message = f"response_format.type is not supported yet, got {shown(kind)}; allowed: text"
        raise InvalidRequestError(message, field="response_format")


def _check_effort(body: ChatRequest) -> None:
    """Check how much to think; a model that does not think ignores it.

    Raises:
        InvalidRequestError: It is no known effort.
    """
    nested = body.reasoning.effort if body.reasoning else None
    for field, effort in (("reasoning_effort", body.reasoning_effort), ("reasoning.effort", nested)):
        if effort is not None and effort not in _EFFORTS:
            message = f"{field} must be one of {', '.join(_EFFORTS)}, got {shown(effort)}"
            raise InvalidRequestError(message, field=field)
