"""From a request of Anthropic's clients to what is generated."""

import attrs
from aiohttp import web

from homeport.domain.call_links import linked
from homeport.domain.constraint import Constraint
from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import ChatPrompt, GenerationRequest
from homeport.domain.messages import Role
from homeport.domain.models import Capability, ModelInfo
from homeport.domain.tools import ToolChoice
from homeport.server.anthropic.conversation import read_conversation
from homeport.server.anthropic.tools import offer_of
from homeport.server.constraints import schema_constraint
from homeport.server.keep_alive import read_keep_alive
from homeport.server.options import Options
from homeport.server.privileges import bounded_keep_alive
from homeport.server.quoting import shown
from homeport.server.request_ids import generation_id
from homeport.server.schemas import anthropic as schema
from homeport.server.state import OWNER
from homeport.server.terms import read_terms
from homeport.server.thinking import Thinking, read_effort

_THINKS = {None: False, "disabled": False, "enabled": True, "adaptive": None, "between_tools": None}
"""Whoever does not ask for thoughts gets none, as at Anthropic; some kinds leave it to the model."""


def generation_of(
    request: web.Request, body: schema.CountRequest, model: ModelInfo, options: Options
) -> GenerationRequest:
    """Read all but the options.

    A last message of the assistant is how the answer begins, where the model can go on behind it; another
    one reads it as a turn.

    Raises:
        InvalidRequestError: A field is wrong; names it.
        UnsupportedError: A message holds what the model cannot read.
    """
    asked = read_terms(request, body.homeport)
    wanted = GenerationRequest(
        id=generation_id(request),
        model=body.model or "",
        prompt=_prompt(body, model),
        sampling=options.sampling(top_logprobs=None),
        context_length=options.context_length,
        keep_alive_seconds=bounded_keep_alive(request, read_keep_alive(body.keep_alive)),
        priority=asked.priority,
        owner=request[OWNER],
        terms=asked.terms,
        constraint=_constraint(body),
    )
    return _parted(wanted, model)


def _prompt(body: schema.CountRequest, model: ModelInfo) -> ChatPrompt:
    messages = linked(read_conversation(body.system, body.messages or [], body.model or ""))
    thinking = _thinking(body, model)
    return ChatPrompt(
        messages,
        tools=offer_of(body.tools or [], body.tool_choice),
        thinks=thinking.thinks,
        effort=thinking.effort,
    )


def _thinking(body: schema.CountRequest, model: ModelInfo) -> Thinking:
    kind = body.thinking.type if body.thinking else None
    if kind not in _THINKS:
        message = f"thinking.type must be one of enabled, disabled, adaptive, got {shown(kind)}"
        raise InvalidRequestError(message, field="thinking")
    effort = body.output_config.effort if body.output_config else None
    asked = read_effort("output_config.effort", effort, model)
    return Thinking(_THINKS[kind], asked.effort)


def _constraint(body: schema.CountRequest) -> Constraint | None:
    given = body.output_config.format if body.output_config else None
    if given is None:
        return None
    if given.type != "json_schema":
        message = f"output_config.format.type must be json_schema, got {shown(given.type)}"
        raise InvalidRequestError(message, field="output_config")
    return schema_constraint("output_config.format.schema", given.schema)


def _parted(wanted: GenerationRequest, model: ModelInfo) -> GenerationRequest:
    """Take a last message of the assistant for how the answer begins, where that can be.

    Raises:
        InvalidRequestError: The answer has to have a form, which its begin need not have.
    """
    if not isinstance(wanted.prompt, ChatPrompt):
        return wanted
    *before, last = wanted.prompt.messages
    if not before or last.role is not Role.ASSISTANT or not last.content or last.tool_calls or last.thinking:
        return wanted
    offer = wanted.prompt.tools
    if wanted.constraint is not None or (offer is not None and offer.choice is ToolChoice.REQUIRED):
        message = "the last message must not be the assistant's where the answer has to have a form"
        raise InvalidRequestError(message, field="messages")
    thinks = wanted.prompt.thinks is not False and Capability.THINKING in model.capabilities
    if thinks or not model.continues:
        return wanted
    prompt = attrs.evolve(wanted.prompt, messages=tuple(before))
    return attrs.evolve(wanted, prompt=prompt, begun=last.content)
