"""What Ollama answers (https://github.com/ollama/ollama/blob/main/docs/api.md), as far as it is read."""

import msgspec


class Version(msgspec.Struct):
    """``GET /api/version``."""

    version: str


class Details(msgspec.Struct, kw_only=True):
    """What kind of model it is."""

    family: str | None = None
    families: list[str] | None = None
    parameter_size: str | None = None
    quantization_level: str | None = None


class Tag(msgspec.Struct, kw_only=True):
    """A row of ``GET /api/tags``."""

    name: str
    modified_at: str | None = None
    size: int | None = None
    digest: str | None = None
    details: Details | None = None
    capabilities: list[str] | None = None


class Tags(msgspec.Struct):
    """``GET /api/tags``."""

    models: list[Tag] | None = None


class Shown(msgspec.Struct, kw_only=True):
    """``POST /api/show``."""

    capabilities: list[str] | None = None
    model_info: dict[str, object] | None = None
    template: str | None = None


class CalledFunction(msgspec.Struct, kw_only=True):
    """A whole call."""

    name: str
    arguments: dict[str, object] | None = None


class ToolCall(msgspec.Struct, kw_only=True):
    """A call with its id, which older releases leave out."""

    function: CalledFunction
    id: str | None = None


class AnswerMessage(msgspec.Struct, kw_only=True):
    """A piece of what the model says, thinks and calls."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[ToolCall] | None = None


class Alternative(msgspec.Struct, kw_only=True):
    """A token and its log-probability."""

    token: str
    logprob: float


class Logprob(Alternative, kw_only=True):
    """A generated token, with the likeliest ones at its place."""

    top_logprobs: list[Alternative] | None = None


class Chunk(msgspec.Struct, kw_only=True):
    """A line of the answer of generate or chat; durations in nanoseconds."""

    message: AnswerMessage | None = None
    response: str | None = None
    thinking: str | None = None
    done: bool = False
    done_reason: str | None = None
    logprobs: list[Logprob] | None = None
    context: list[int] | None = None
    prompt_eval_count: int | None = None
    prompt_eval_cached_count: int | None = None
    prompt_eval_duration: float | None = None
    eval_count: int | None = None
    eval_duration: float | None = None
    error: object = None


class Embedded(msgspec.Struct, kw_only=True):
    """``POST /api/embed``."""

    embeddings: list[list[float]]
    prompt_eval_count: int | None = None
    load_duration: float | None = None


class OneEmbedded(msgspec.Struct, kw_only=True):
    """``POST /api/embeddings``, the older one."""

    embedding: list[float]


class Progress(msgspec.Struct, kw_only=True):
    """A line of the answer of pull; bytes."""

    status: str | None = None
    digest: str | None = None
    total: int | None = None
    error: object = None
