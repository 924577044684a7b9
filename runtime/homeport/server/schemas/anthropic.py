"""Anthropic's requests, answers and events (https://docs.anthropic.com/en/api/messages)."""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from homeport.server.schemas.terms import AnswerMark, RequestTerms


class SentBlock(msgspec.Struct, kw_only=True):
    """A part of what a client sends; which fields count depends on its type."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    tool_use_id: str | None = None
    content: Any = None
    source: Any = None


class SentMessage(msgspec.Struct, kw_only=True):
    """A turn of a conversation as a client sends it."""

    role: str | None = None
    content: str | list[SentBlock] | None = None


class SentTool(msgspec.Struct, kw_only=True):
    """A tool that a client offers."""

    type: str | None = None
    name: str | None = None
    description: str | None = None
    input_schema: Any = None


class SentToolChoice(msgspec.Struct, kw_only=True):
    """Whether tools shall be called."""

    type: str | None = None
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class SentThinking(msgspec.Struct, kw_only=True):
    """Whether the model shall think first."""

    type: str | None = None


class SentFormat(msgspec.Struct, kw_only=True):
    """The form that an answer shall have."""

    type: str | None = None
    schema: Any = None


class OutputConfig(msgspec.Struct, kw_only=True):
    """How much effort an answer is worth, and its form."""

    effort: str | None = None
    format: SentFormat | None = None


class CountRequest(msgspec.Struct, kw_only=True):
    """``POST /v1/messages/count_tokens``."""

    model: str | None = None
    messages: list[SentMessage] | None = None
    system: str | list[SentBlock] | None = None
    tools: list[SentTool] | None = None
    tool_choice: SentToolChoice | None = None
    thinking: SentThinking | None = None
    output_config: OutputConfig | None = None
    num_ctx: int | None = None
    keep_alive: Any = None
    homeport: RequestTerms | None = None


class MessagesRequest(CountRequest, kw_only=True):
    """``POST /v1/messages``."""

    max_tokens: int | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    repeat_penalty: float | None = None
    stop_sequences: list[str] | None = None


class OutputDetails(msgspec.Struct):
    """Those of the written tokens that were thoughts."""

    thinking_tokens: int


class Usage(msgspec.Struct, kw_only=True):
    """Tokens read and written; those of the prompt that were known already are counted apart."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    output_tokens_details: OutputDetails | UnsetType = UNSET


class ErrorDetail(msgspec.Struct, kw_only=True):
    """What went wrong; ``hint`` and ``suggestions`` only where there are some.

    ``partial`` and ``usage`` only where a part of the answer was sent before it.
    """

    type: str
    message: str
    suggestions: tuple[str, ...] | UnsetType = UNSET
    hint: str | UnsetType = UNSET
    partial: bool | UnsetType = UNSET
    usage: Usage | UnsetType = UNSET


class ErrorAnswer(msgspec.Struct, kw_only=True):
    """The one shape of errors."""

    type: str = "error"
    error: ErrorDetail
    request_id: str


class TextBlock(msgspec.Struct, kw_only=True, tag_field="type", tag="text"):
    """What the model says."""

    text: str


class ThinkingBlock(msgspec.Struct, kw_only=True, tag_field="type", tag="thinking"):
    """What the model thought; nobody signs it here."""

    thinking: str
    signature: str = ""


class ToolUseBlock(msgspec.Struct, kw_only=True, tag_field="type", tag="tool_use"):
    """What the model calls; ``input`` is an object."""

    id: str
    name: str
    input: msgspec.Raw


Block = TextBlock | ThinkingBlock | ToolUseBlock


class MessageAnswer(msgspec.Struct, kw_only=True):
    """A whole answer, and what a stream begins with."""

    id: str
    type: str = "message"
    role: str = "assistant"
    model: str
    content: list[Block]
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Usage


class MessageStart(msgspec.Struct, kw_only=True):
    """The first event of a stream."""

    type: str = "message_start"
    message: MessageAnswer


class BlockStart(msgspec.Struct, kw_only=True):
    """A block begins, empty."""

    type: str = "content_block_start"
    index: int
    content_block: Block


class TextPiece(msgspec.Struct, kw_only=True, tag_field="type", tag="text_delta"):
    """A further piece of text."""

    text: str


class ThinkingPiece(msgspec.Struct, kw_only=True, tag_field="type", tag="thinking_delta"):
    """A further piece of thoughts."""

    thinking: str


class InputPiece(msgspec.Struct, kw_only=True, tag_field="type", tag="input_json_delta"):
    """A further piece of the JSON text of a call's arguments."""

    partial_json: str


class BlockDelta(msgspec.Struct, kw_only=True):
    """A block goes on."""

    type: str = "content_block_delta"
    index: int
    delta: TextPiece | ThinkingPiece | InputPiece


class BlockStop(msgspec.Struct, kw_only=True):
    """A block is whole."""

    type: str = "content_block_stop"
    index: int


class Ending(msgspec.Struct, kw_only=True):
    """Why an answer ended."""

    stop_reason: str
    stop_sequence: str | None = None


class MessageDelta(msgspec.Struct, kw_only=True):
    """The answer is whole; the usage is that of all of it."""

    type: str = "message_delta"
    delta: Ending
    usage: Usage


class MessageStop(msgspec.Struct, kw_only=True):
    """The last event of a stream."""

    type: str = "message_stop"


class RestartMark(msgspec.Struct, kw_only=True):
    """What came so far is void; clients that do not know the event skip it."""

    type: Literal["homeport"] = "homeport"
    homeport: AnswerMark


class CountAnswer(msgspec.Struct):
    """How many tokens a prompt has."""

    input_tokens: int
