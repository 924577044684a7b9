"""OpenAI's responses: requests, answers and events (https://platform.openai.com/docs/api-reference/responses)."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from homeport.server.schemas.terms import AnswerMark, RequestTerms


class SentPart(msgspec.Struct, kw_only=True):
    """A part of what an item says; which fields count depends on its type."""

    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    image_url: Any = None


class SentItem(msgspec.Struct, kw_only=True):
    """An item of a conversation; which fields count depends on its type, and none is a message's."""

    type: str | None = None
    role: str | None = None
    content: str | list[SentPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[SentPart] | None = None
    summary: list[SentPart] | None = None


class SentTool(msgspec.Struct, kw_only=True):
    """A function that a client offers."""

    type: str | None = None
    name: str | None = None
    description: str | None = None
    parameters: Any = None
    strict: bool | None = None


class SentFormat(msgspec.Struct, kw_only=True):
    """The form that an answer shall have."""

    type: str | None = None
    name: str | None = None
    schema: Any = None
    strict: bool | None = None
    description: str | None = None


class SentText(msgspec.Struct, kw_only=True):
    """What the text of an answer shall be like."""

    format: SentFormat | None = None


class SentReasoning(msgspec.Struct, kw_only=True):
    """How much a model shall think."""

    effort: str | None = None
    summary: str | None = None


class ResponseRequest(msgspec.Struct, kw_only=True):
    """``POST /v1/responses``."""

    model: str | None = None
    input: str | list[SentItem] | None = None
    instructions: str | None = None
    tools: list[SentTool] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    text: SentText | None = None
    reasoning: SentReasoning | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    stream: bool | None = None
    truncation: str | None = None
    metadata: Any = None
    previous_response_id: Any = None
    conversation: Any = None
    background: Any = None
    prompt: Any = None
    num_ctx: int | None = None
    keep_alive: Any = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    repeat_penalty: float | None = None
    homeport: RequestTerms | None = None


class CachedTokens(msgspec.Struct, kw_only=True):
    """Prompt tokens that needed no computation; nothing is charged for keeping others."""

    cached_tokens: int
    cache_write_tokens: int = 0


class ReasoningTokens(msgspec.Struct):
    """Generated tokens that were thoughts."""

    reasoning_tokens: int


class Usage(msgspec.Struct, kw_only=True):
    """Tokens read and written."""

    input_tokens: int
    input_tokens_details: CachedTokens
    output_tokens: int
    output_tokens_details: ReasoningTokens
    total_tokens: int


class Alternative(msgspec.Struct):
    """A likely token and its log-probability; no bytes where the token is half a character."""

    token: str
    logprob: float
    bytes: list[int]


class Logprob(Alternative):
    """A generated token, with the likeliest ones at its place, best first."""

    top_logprobs: list[Alternative]


class OutputText(msgspec.Struct, kw_only=True):
    """A text that the model says."""

    type: str = "output_text"
    text: str
    annotations: tuple[str, ...] = ()
    logprobs: list[Logprob]


class SummaryText(msgspec.Struct, kw_only=True):
    """What the model thought."""

    type: str = "summary_text"
    text: str


class OutputMessage(msgspec.Struct, kw_only=True, tag_field="type", tag="message"):
    """The item that holds the text."""

    id: str
    role: str = "assistant"
    status: str
    content: list[OutputText]


class FunctionCall(msgspec.Struct, kw_only=True, tag_field="type", tag="function_call"):
    """The item that holds a call; ``arguments`` is JSON text."""

    id: str
    call_id: str
    name: str
    arguments: str
    status: str


class Reasoning(msgspec.Struct, kw_only=True, tag_field="type", tag="reasoning"):
    """The item that holds the thoughts."""

    id: str
    summary: list[SummaryText]


Item = OutputMessage | FunctionCall | Reasoning


class Tool(msgspec.Struct, kw_only=True):
    """A function that was offered."""

    type: str = "function"
    name: str
    description: str | None = None
    parameters: Any = None
    strict: bool | None = None


class Format(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The form that was asked for."""

    type: str
    name: str | UnsetType = UNSET
    schema: Any = None
    strict: bool | None = None
    description: str | None = None


class TextConfig(msgspec.Struct):
    """What the text was to be like."""

    format: Format


class ReasoningConfig(msgspec.Struct):
    """How much the model was to think."""

    effort: str | None = None
    summary: str | None = None


class ResponseError(msgspec.Struct):
    """Why an answer failed after its begin."""

    code: str
    message: str


class IncompleteDetails(msgspec.Struct):
    """Why an answer is not whole."""

    reason: str


class Response(msgspec.Struct, kw_only=True):
    """An answer, as far as it is."""

    id: str
    object: str = "response"
    created_at: int
    status: str
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str]
    model: str
    output: list[Item]
    parallel_tool_calls: bool
    reasoning: ReasoningConfig
    store: bool = False
    temperature: float
    text: TextConfig
    tool_choice: str | dict[str, Any]
    tools: list[Tool]
    top_p: float
    truncation: str
    usage: Usage | None = None


class Event(msgspec.Struct, kw_only=True):
    """What all events of a stream have; they are counted from 0."""

    type: str
    sequence_number: int


class ResponseEvent(Event, kw_only=True):
    """The answer begins, or ends."""

    response: Response


class ItemEvent(Event, kw_only=True):
    """An item begins, or is whole."""

    output_index: int
    item: Item


class PartEvent(Event, kw_only=True):
    """The text of a message begins, or is whole."""

    item_id: str
    output_index: int
    content_index: int = 0
    part: OutputText


class TextDeltaEvent(Event, kw_only=True):
    """A text goes on."""

    item_id: str
    output_index: int
    content_index: int = 0
    delta: str
    logprobs: list[Logprob]


class TextDoneEvent(Event, kw_only=True):
    """A text is whole."""

    item_id: str
    output_index: int
    content_index: int = 0
    text: str
    logprobs: list[Logprob]


class ArgumentsDeltaEvent(Event, kw_only=True):
    """The arguments of a call go on."""

    item_id: str
    output_index: int
    delta: str


class ArgumentsDoneEvent(Event, kw_only=True):
    """The arguments of a call are whole."""

    item_id: str
    output_index: int
    name: str
    arguments: str


class SummaryPartEvent(Event, kw_only=True):
    """Thoughts begin, or are whole."""

    item_id: str
    output_index: int
    summary_index: int = 0
    part: SummaryText


class SummaryDeltaEvent(Event, kw_only=True):
    """Thoughts go on."""

    item_id: str
    output_index: int
    summary_index: int = 0
    delta: str


class SummaryDoneEvent(Event, kw_only=True):
    """Thoughts are whole."""

    item_id: str
    output_index: int
    summary_index: int = 0
    text: str


class RestartEvent(Event, kw_only=True):
    """What came so far is void; the items that follow are counted on."""

    homeport: AnswerMark
