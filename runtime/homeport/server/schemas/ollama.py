"""Ollama's requests and answers (https://github.com/ollama/ollama/blob/main/docs/api.md)."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from homeport.server.schemas.terms import AnswerMark, RequestTerms
from homeport.server.schemas.tools import EarlierCall, OfferedTool


class InferenceRequest(msgspec.Struct, kw_only=True):
    """What generate and chat have in common."""

    model: str | None = None
    stream: bool | None = None
    format: Any = None
    keep_alive: Any = None
    homeport: RequestTerms | None = None
    options: dict[str, Any] | None = None
    think: Any = None
    truncate: bool | None = None
    shift: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class GenerateRequest(InferenceRequest, kw_only=True):
    """``POST /api/generate``."""

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: list[int] | None = None
    raw: bool | None = None
    images: list[Any] | None = None


class Message(msgspec.Struct, kw_only=True):
    """A turn of a conversation as a client sends it."""

    role: str | None = None
    content: str | None = None
    thinking: str | None = None
    images: list[Any] | None = None
    tool_calls: list[EarlierCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class ChatRequest(InferenceRequest, kw_only=True):
    """``POST /api/chat``."""

    messages: list[Message] | None = None
    tools: list[OfferedTool] | None = None


class EmbedRequest(msgspec.Struct, kw_only=True):
    """``POST /api/embed``."""

    model: str | None = None
    input: Any = None
    truncate: bool | None = None
    dimensions: int | None = None
    keep_alive: Any = None
    homeport: RequestTerms | None = None
    options: dict[str, Any] | None = None


class EmbeddingsRequest(msgspec.Struct, kw_only=True):
    """``POST /api/embeddings``, the older one."""

    model: str | None = None
    prompt: str | None = None
    keep_alive: Any = None
    homeport: RequestTerms | None = None
    options: dict[str, Any] | None = None


class NamedRequest(msgspec.Struct, kw_only=True):
    """A request about one model; ``name`` is the older spelling of ``model``."""

    model: str | None = None
    name: str | None = None


class ShowRequest(NamedRequest, kw_only=True):
    """``POST /api/show``."""

    verbose: bool | None = None
    system: str | None = None
    template: str | None = None
    options: dict[str, Any] | None = None


class PullRequest(NamedRequest, kw_only=True):
    """``POST /api/pull``; ``force`` fetches a model again although it is there, ``quant`` is an extension."""

    stream: bool | None = None
    force: bool | None = None
    quant: str | None = None


class MadeMessage(msgspec.Struct, kw_only=True):
    """A message that a model is made with."""

    role: str | None = None
    content: str | None = None


class CreateRequest(NamedRequest, kw_only=True, rename={"base": "from"}):
    """``POST /api/create``; ``quantization`` is the newer spelling of ``quantize``, ``info`` is ignored."""

    base: str | None = None
    files: dict[str, str] | None = None
    template: str | None = None
    license: str | list[str] | None = None
    system: str | None = None
    parameters: dict[str, Any] | None = None
    messages: list[MadeMessage] | None = None
    quantize: str | None = None
    quantization: str | None = None
    requires: str | None = None
    stream: bool | None = None
    info: Any = None
    adapters: Any = None
    draft_files: Any = None
    renderer: Any = None
    parser: Any = None
    remote_host: Any = None


class CopyRequest(msgspec.Struct, kw_only=True):
    """``POST /api/copy``."""

    source: str | None = None
    destination: str | None = None


class CloudStatus(msgspec.Struct):
    """Whether models of Ollama's cloud can be asked, and what says so."""

    disabled: bool
    source: str


class StatusAnswer(msgspec.Struct):
    """``GET /api/status``."""

    cloud: CloudStatus


class ErrorAnswer(msgspec.Struct, omit_defaults=True):
    """The one shape of errors; ``suggestions`` and ``hint`` only where there are some.

    ``partial`` and the counts of tokens only where a part of the answer was sent before it.
    """

    error: str
    suggestions: tuple[str, ...] = ()
    hint: str | None = None
    partial: bool = False
    prompt_eval_count: int | None = None
    eval_count: int | None = None


class VersionAnswer(msgspec.Struct):
    """``GET /api/version``."""

    version: str


class Alternative(msgspec.Struct):
    """A likely token and its log-probability; bytes are left out where the token is half a character."""

    token: str
    logprob: float
    bytes: list[int] | UnsetType = UNSET


class Logprob(Alternative):
    """A generated token, with the likeliest ones at its place, best first."""

    top_logprobs: list[Alternative] | UnsetType = UNSET


class Chunk(msgspec.Struct, kw_only=True):
    """What the pieces of generate and chat have in common; durations in nanoseconds."""

    model: str
    created_at: str
    done: bool = False
    logprobs: list[Logprob] | UnsetType = UNSET
    done_reason: str | UnsetType = UNSET
    total_duration: int | UnsetType = UNSET
    load_duration: int | UnsetType = UNSET
    prompt_eval_count: int | UnsetType = UNSET
    prompt_eval_cached_count: int | UnsetType = UNSET
    prompt_eval_duration: int | UnsetType = UNSET
    eval_count: int | UnsetType = UNSET
    eval_duration: int | UnsetType = UNSET
    draft_count: int | UnsetType = UNSET
    draft_accepted_count: int | UnsetType = UNSET
    homeport: AnswerMark | UnsetType = UNSET


class MadeFunction(msgspec.Struct, kw_only=True):
    """What a model calls; the arguments are an object."""

    index: int
    name: str
    arguments: msgspec.Raw


class MadeCall(msgspec.Struct, kw_only=True):
    """A whole call of a model."""

    id: str
    function: MadeFunction


class GenerateChunk(Chunk, kw_only=True):
    """A piece of the answer of generate."""

    response: str
    thinking: str | UnsetType = UNSET
    tool_calls: list[MadeCall] | UnsetType = UNSET
    context: tuple[int, ...] | UnsetType = UNSET


class AnswerMessage(msgspec.Struct, kw_only=True):
    """What the model says."""

    role: str = "assistant"
    content: str
    thinking: str | UnsetType = UNSET
    tool_calls: list[MadeCall] | UnsetType = UNSET


class ChatChunk(Chunk, kw_only=True):
    """A piece of the answer of chat."""

    message: AnswerMessage


class EmbedAnswer(msgspec.Struct, kw_only=True):
    """The answer of embed."""

    model: str
    embeddings: tuple[tuple[float, ...], ...]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class EmbeddingsAnswer(msgspec.Struct):
    """The answer of embeddings."""

    embedding: tuple[float, ...]


class ModelDetails(msgspec.Struct, kw_only=True):
    """What kind of model it is."""

    parent_model: str = ""
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str
    context_length: int | UnsetType = UNSET
    embedding_length: int | UnsetType = UNSET


class ListedModel(msgspec.Struct, kw_only=True):
    """A row of ``GET /api/tags``.

    ``alias_of`` is there only where the model is installed under another name, ``origin`` only where it is
    not installed, but lies on this machine in the place of that source. ``size_build`` are the bytes of what
    a backend made of the model, which lie on disk beside ``size``; it is there only where there is a build.
    """

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: ModelDetails
    capabilities: list[str]
    size_build: int | UnsetType = UNSET
    alias_of: str | UnsetType = UNSET
    origin: str | UnsetType = UNSET


class ListAnswer(msgspec.Struct):
    """``GET /api/tags``."""

    models: list[ListedModel]


class RunningModel(msgspec.Struct, kw_only=True):
    """A row of ``GET /api/ps``; what follows ``context_length`` is unknown to Ollama.

    ``computes`` is there only where the backend tells it; ``size_predicted`` and ``size_peak`` are bytes.
    """

    name: str
    model: str
    size: int
    digest: str
    details: ModelDetails
    expires_at: str
    size_vram: int
    context_length: int
    computes: str | UnsetType = UNSET
    size_predicted: int
    size_peak: int
    pid: int
    threads: int
    slots: int
    in_use: int
    pinned: bool


class ProcessAnswer(msgspec.Struct):
    """``GET /api/ps``."""

    models: list[RunningModel]


class ShowAnswer(msgspec.Struct, kw_only=True):
    """The answer of show."""

    license: str | UnsetType = UNSET
    modelfile: str
    parameters: str | UnsetType = UNSET
    template: str | UnsetType = UNSET
    system: str | UnsetType = UNSET
    details: ModelDetails
    messages: list[MadeMessage] | UnsetType = UNSET
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str
    requires: str | UnsetType = UNSET


class ProgressLine(msgspec.Struct, omit_defaults=True):
    """A line of the answer of pull; bytes."""

    status: str
    digest: str | None = None
    total: int | None = None
    completed: int | None = None
