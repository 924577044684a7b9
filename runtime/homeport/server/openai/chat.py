"""``POST /v1/chat/completions``: the next turn of a conversation."""

from aiohttp import web

from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import ChatPrompt
from homeport.domain.models import ModelInfo
from homeport.server.bodies import read_body
from homeport.server.limits import check_top_logprobs
from homeport.server.lookup import find_model, require_generation, required
from homeport.server.openai.answer_forms import read_form
from homeport.server.openai.chat_choices import ChatEncoder
from homeport.server.openai.inference import envelope_of, infer
from homeport.server.openai.messages import read_messages
from homeport.server.openai.options import read_max_tokens
from homeport.server.openai.template_values import read_template_values
from homeport.server.openai.tools import read_tools, wanted_of
from homeport.server.quoting import shown
from homeport.server.refusals import refuse_given
from homeport.server.schemas.openai import ChatRequest
from homeport.server.thinking import Thinking, read_effort

_REFUSED = ("audio", "web_search_options")


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """Answer a conversation."""
    body = await read_body(request, ChatRequest)
    name = required(body.model)
    model = await find_model(request, name, wanted=wanted_of(body))
    require_generation(model, name, "chat")
    _check_refused(body)
    top_logprobs = _top_logprobs(body)
    encoder = ChatEncoder(
        envelope_of(body, name, prefix="chatcmpl", whole="chat.completion", chunk="chat.completion.chunk"),
        reports_logprobs=top_logprobs is not None,
        makes_function_calls=bool(body.functions),
    )
    return await infer(
        request,
        body,
        model,
        [_prompt(body, model, name)],
        encoder,
        max_tokens=read_max_tokens(body),
        top_logprobs=top_logprobs,
        form=read_form(body, body.response_format),
    )


def _prompt(body: ChatRequest, model: ModelInfo, name: str) -> ChatPrompt:
    thinking = _thinking(body, model)
    tools = read_tools(body, model)
    asked = read_messages(body.messages, model, name)
    given = read_template_values(body.chat_template_kwargs, model)
    return ChatPrompt(
        asked,
        tools=tools,
        thinks=given.thinking.thinks if thinking.thinks is None else thinking.thinks,
        effort=thinking.effort,
        template_values=given.values,
    )


def _thinking(body: ChatRequest, model: ModelInfo) -> Thinking:
    """Read how much to think; the older of the two fields wins."""
    nested = read_effort("reasoning.effort", body.reasoning.effort if body.reasoning else None, model)
    flat = read_effort("reasoning_effort", body.reasoning_effort, model)
    return nested if flat.thinks is None else flat


def _top_logprobs(body: ChatRequest) -> int | None:
    check_top_logprobs(body.top_logprobs)
    if body.logprobs:
        return body.top_logprobs or 0
    if body.top_logprobs is not None:
        message = f"top_logprobs needs logprobs to be true, got {shown(body.logprobs)}"
        raise InvalidRequestError(message, field="top_logprobs")
    return None


def _check_refused(body: ChatRequest) -> None:
    """Refuse what is no part of this server.

    Raises:
        InvalidRequestError: Such a field is given.
    """
    refuse_given(body, *_REFUSED)
    if body.modalities and body.modalities != ["text"]:
        message = f'modalities must be ["text"], got {shown(body.modalities)}'
        raise InvalidRequestError(message, field="modalities")
