"""``POST /v1/responses``: the next turn of a conversation, as items."""

import time
import uuid

from aiohttp import web

from homeport.domain.constraint import Constraint
from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import ChatPrompt, GenerationRequest
from homeport.domain.models import Capability, ModelInfo
from homeport.server.answering import answer
from homeport.server.bodies import read_body
from homeport.server.constraints import json_constraint, schema_constraint
from homeport.server.keep_alive import read_keep_alive
from homeport.server.limits import MAX_INTEGER, bounded, check_top_logprobs
from homeport.server.lookup import find_model, require_generation, required
from homeport.server.openai.options import cuts_prompts
from homeport.server.openai.responses.conversation import read_conversation
from homeport.server.openai.responses.output_items import IN_PROGRESS
from homeport.server.openai.responses.response_events import ResponseEncoder
from homeport.server.openai.responses.tools import echoed_tools, offer_of
from homeport.server.option_fields import model_options
from homeport.server.options import Options
from homeport.server.quoting import shown
from homeport.server.refusals import is_given, lacks_capability
from homeport.server.request_ids import generation_id
from homeport.server.sampling_fields import DEFAULTS, read_sampling
from homeport.server.schemas import responses as schema
from homeport.server.state import OWNER
from homeport.server.streaming import NAMED_SSE
from homeport.server.terms import read_terms
from homeport.server.thinking import read_effort

_REFUSED = {
    "previous_response_id": "nothing is kept between requests, send the whole conversation in input",
    "conversation": "nothing is kept between requests, send the whole conversation in input",
    "background": "responses run while their client waits",
    "prompt": "stored prompts are not known here, send their text in instructions",
}
_FORMATS = ("text", "json_object", "json_schema")
_ID_DIGITS = 24
_FIELDS = {"format": "text.format", "messages": "input", "prompt": "input"}
"""What the client calls what the backend's errors name."""


async def create(request: web.Request) -> web.StreamResponse:
    """Answer a conversation."""
    body = await read_body(request, schema.ResponseRequest)
    name = required(body.model)
    _refuse_stored(body)
    check_top_logprobs(body.top_logprobs)
    capability = Capability.TOOLS if body.tools else Capability.COMPLETION
    model = await find_model(request, name, wanted=capability)
    require_generation(model, name, "chat")
    max_tokens = bounded("max_output_tokens", body.max_output_tokens, 1, MAX_INTEGER)
    options = read_sampling(body, max_tokens).over(model_options(model)).over(DEFAULTS)
    asked = read_terms(request, body.homeport)
    wanted = GenerationRequest(
        id=generation_id(request),
        model=name,
        prompt=_prompt(body, model, name),
        sampling=options.sampling(top_logprobs=body.top_logprobs or None),
        context_length=options.context_length,
        truncate=cuts_prompts(body.truncation),
        keep_alive_seconds=read_keep_alive(body.keep_alive),
        priority=asked.priority,
        owner=request[OWNER],
        terms=asked.terms,
        constraint=_constraint(body),
    )
    encoder = ResponseEncoder(_begun(body, name, options))
    framing = NAMED_SSE if body.stream else None
    return await answer(request, [wanted], encoder, framing=framing, telling=encoder.fail, fields=_FIELDS)


def _refuse_stored(body: schema.ResponseRequest) -> None:
    """Refuse what needs memory between requests.

    Raises:
        InvalidRequestError: Such a field is given.
    """
    for field, why in _REFUSED.items():
        value = getattr(body, field)
        if is_given(value):
            message = f"{field} is not supported, got {shown(value)}: {why}"
            raise InvalidRequestError(message, field=field)


def _prompt(body: schema.ResponseRequest, model: ModelInfo, name: str) -> ChatPrompt:
    if body.tools and Capability.TOOLS not in model.capabilities:
        raise lacks_capability(name, "tools", field="tools")
    thinking = read_effort("reasoning.effort", body.reasoning.effort if body.reasoning else None, model)
    return ChatPrompt(
        read_conversation(body.instructions, body.input, name),
        tools=offer_of(body),
        thinks=thinking.thinks,
        effort=thinking.effort,
    )


def _constraint(body: schema.ResponseRequest) -> Constraint | None:
    given = body.text.format if body.text else None
    match given.type if given else None:
        case None | "text":
            return None
        case "json_object":
            return json_constraint()
        case "json_schema":
            return schema_constraint("text.format.schema", given.schema if given else None)
        case kind:
            message = f"text.format.type must be one of {', '.join(_FORMATS)}, got {shown(kind)}"
            raise InvalidRequestError(message, field="text.format.type")


def _begun(body: schema.ResponseRequest, name: str, options: Options) -> schema.Response:
    """Spell the response before anything came of it: what was asked for, as it is understood."""
    sampling = options.sampling(top_logprobs=None)
    reasoning = body.reasoning or schema.SentReasoning()
    return schema.Response(
        id=f"resp_{uuid.uuid4().hex[:_ID_DIGITS]}",
        created_at=int(time.time()),
        status=IN_PROGRESS,
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        metadata=_metadata(body.metadata),
        model=name,
        output=[],
        parallel_tool_calls=body.parallel_tool_calls is not False,
        reasoning=schema.ReasoningConfig(reasoning.effort, reasoning.summary),
        temperature=sampling.temperature,
        text=schema.TextConfig(_format(body)),
        tool_choice="auto" if body.tool_choice is None else body.tool_choice,
        tools=echoed_tools(body),
        top_p=sampling.top_p,
        truncation=body.truncation or "auto",
    )


def _format(body: schema.ResponseRequest) -> schema.Format:
    given = (body.text.format if body.text else None) or schema.SentFormat()
    if given.type != "json_schema":
        return schema.Format(type=given.type or "text")
    return schema.Format(
        type=given.type,
        name=given.name or "answer",
        schema=given.schema,
        strict=given.strict,
        description=given.description,
    )


def _metadata(value: object) -> dict[str, str]:
    """Repeat the client's notes where they are texts, as its SDK wants them."""
    pairs = value.items() if isinstance(value, dict) else ()
    return {key: text for key, text in pairs if isinstance(text, str)}
