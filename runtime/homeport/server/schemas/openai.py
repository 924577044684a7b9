"""OpenAI's requests and answers (https://platform.openai.com/docs/api-reference)."""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from homeport.server.schemas.terms import AnswerMark, RequestTerms
from homeport.server.schemas.tools import CalledFunction, EarlierCall, OfferedFunction, OfferedTool

ObjectName = Literal["chat.completion", "chat.completion.chunk", "text_completion"]


class StreamOptions(msgspec.Struct):
    """What a stream shall hold besides text."""

    include_usage: bool | None = None


class StructuredOutputs(msgspec.Struct, kw_only=True):
    """The form of an answer in vLLM's words; one of them."""

    json: dict[str, Any] | str | None = None
    json_object: bool | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None


class InferenceRequest(msgspec.Struct, kw_only=True):
    """What chat completions and completions have in common."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float | None] | None = None
    truncation: str | None = None
    keep_alive: Any = None
    homeport: RequestTerms | None = None
    num_ctx: int | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    repeat_penalty: float | None = None
    ttl: float | None = None
    ignore_eos: bool | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: dict[str, Any] | str | None = None
    guided_regex: str | None = None


class ContentPart(msgspec.Struct, kw_only=True):
    """A part of a message."""

    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    image_url: Any = None


class Message(msgspec.Struct, kw_only=True):
    """A turn of a conversation as a client sends it."""

    role: str | None = None
    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    name: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[EarlierCall] | None = None
    tool_call_id: str | None = None
    function_call: CalledFunction | None = None


class JsonSchemaFormat(msgspec.Struct, kw_only=True):
    """A named JSON Schema, which binds whether ``strict`` or not."""

    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    """The form that an answer shall have."""

    type: str | None = None
    json_schema: JsonSchemaFormat | None = None


class Reasoning(msgspec.Struct):
    """How much a model shall think."""

    effort: str | None = None


class ChatRequest(InferenceRequest, kw_only=True):
    """``POST /v1/chat/completions``."""

    messages: list[Message] | None = None
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    tools: list[OfferedTool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    reasoning: Reasoning | None = None
    modalities: list[str] | None = None
    audio: Any = None
    web_search_options: Any = None
    functions: list[OfferedFunction] | None = None
    function_call: str | dict[str, Any] | None = None


class CompletionRequest(InferenceRequest, kw_only=True):
    """``POST /v1/completions``."""

    prompt: str | list[str | int | list[int]] | None = None
    echo: bool | None = None
    logprobs: int | None = None
    suffix: str | None = None
    best_of: int | None = None


class EmbeddingRequest(msgspec.Struct, kw_only=True):
    """``POST /v1/embeddings``."""

    model: str | None = None
    input: str | list[str | int | list[int]] | None = None
    encoding_format: str | None = None
    dimensions: int | None = None
    keep_alive: Any = None
    homeport: RequestTerms | None = None


class CachedTokens(msgspec.Struct):
    """Prompt tokens that needed no computation."""

    cached_tokens: int


class ReasoningTokens(msgspec.Struct):
    """Generated tokens that were thoughts."""

    reasoning_tokens: int


class Usage(msgspec.Struct, kw_only=True):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    completion_tokens_details: ReasoningTokens


class ErrorDetail(msgspec.Struct, kw_only=True):
    """What went wrong; ``suggestions`` and ``hint`` only where there are some.

    ``partial`` and ``usage`` only where a part of the answer was sent before it.
    """

    message: str
    type: str
    param: str | None = None
    code: str | None = None
    suggestions: tuple[str, ...] | UnsetType = UNSET
    hint: str | UnsetType = UNSET
    partial: bool | UnsetType = UNSET
    usage: Usage | UnsetType = UNSET


class ErrorAnswer(msgspec.Struct):
    """The one shape of errors."""

    error: ErrorDetail


class Alternative(msgspec.Struct):
    """A likely token and its log-probability; no bytes where the token is half a character."""

    token: str
    logprob: float
    bytes: list[int] | None


class Logprob(Alternative):
    """A generated token, with the likeliest ones at its place, best first."""

    top_logprobs: list[Alternative]


class ChatLogprobs(msgspec.Struct):
    """The log-probabilities of a piece of a chat answer."""

    content: list[Logprob]
    refusal: None = None


class MadeFunction(msgspec.Struct):
    """What a model calls; the arguments are JSON text."""

    name: str
    arguments: str


class MadeCall(msgspec.Struct, kw_only=True):
    """A whole call of a model."""

    id: str
    type: str = "function"
    function: MadeFunction


class AnswerMessage(msgspec.Struct, kw_only=True):
    """What the model says; no content where it only calls."""

    role: str = "assistant"
    content: str | None
    refusal: None = None
    reasoning: str | UnsetType = UNSET
    tool_calls: list[MadeCall] | UnsetType = UNSET
    function_call: MadeFunction | UnsetType = UNSET


class ChatChoice(msgspec.Struct, kw_only=True):
    """A whole chat answer."""

    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: str


class FunctionPiece(msgspec.Struct, kw_only=True):
    """A piece of what a model calls: the name comes first, the arguments add up."""

    name: str | UnsetType = UNSET
    arguments: str


class CallPiece(msgspec.Struct, kw_only=True):
    """A piece of a call; the first one of each has its id and type."""

    index: int
    id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    function: FunctionPiece


class Delta(msgspec.Struct, kw_only=True):
    """A piece of a message."""

    role: str | UnsetType = UNSET
    content: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    tool_calls: list[CallPiece] | UnsetType = UNSET
    function_call: FunctionPiece | UnsetType = UNSET


class ChatChunkChoice(msgspec.Struct, kw_only=True):
    """A piece of a chat answer."""

    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None = None


class TextLogprobs(msgspec.Struct, kw_only=True):
    """The log-probabilities of a piece of text; offsets in characters."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class TextChoice(msgspec.Struct, kw_only=True):
    """A text, or a piece of one."""

    index: int
    text: str
    logprobs: TextLogprobs | None = None
    finish_reason: str | None = None


class Completion(msgspec.Struct, kw_only=True):
    """An answer or a chunk of either route; all chunks of one answer share ``id`` and ``created``."""

    id: str
    object: ObjectName
    created: int
    model: str
    system_fingerprint: str = "fp_homeport"
    choices: list[ChatChoice] | list[ChatChunkChoice] | list[TextChoice]
    usage: Usage | UnsetType | None = UNSET
    homeport: AnswerMark | UnsetType = UNSET


class Embedding(msgspec.Struct, kw_only=True):
    """A vector: numbers, or base64 of little-endian float32."""

    object: str = "embedding"
    index: int
    embedding: tuple[float, ...] | str


class EmbeddingUsage(msgspec.Struct):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingAnswer(msgspec.Struct, kw_only=True):
    """The answer of embeddings."""

    object: str = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class Model(msgspec.Struct, kw_only=True):
    """A model."""

    id: str
    object: str = "model"
    created: int
    owned_by: str


class ModelList(msgspec.Struct, kw_only=True):
    """``GET /v1/models``."""

    object: str = "list"
    data: list[Model]
