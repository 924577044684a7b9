"""What other servers answer, as far as it is read: OpenAI's API, and ``GET /v1/replica`` of a homeport."""

import msgspec


class ListedModel(msgspec.Struct, kw_only=True):
    """A row of ``GET /v1/models``."""

    id: str
    created: float | None = None


class ModelList(msgspec.Struct, kw_only=True):
    """``GET /v1/models``."""

    data: list[ListedModel]


class ReplicaModel(msgspec.Struct, kw_only=True):
    """A model of another homeport."""

    name: str
    digest: str
    capabilities: list[str]
    modified_at: str | None = None
    size_bytes: int = 0
    context_length: int = 0
    embedding_length: int = 0
    family: str = ""
    parameter_count: int = 0
    quantization: str = ""
    resident: bool = False
    is_remote: bool = False
    slots: int = 0
    hops: int = 0


class Replica(msgspec.Struct, kw_only=True):
    """``GET /v1/replica``."""

    models: list[ReplicaModel]
    version: str = ""
    draining: bool = False
    free_bytes: int | None = None
    running: int | None = None
    waiting: int | None = None


class Alternative(msgspec.Struct, kw_only=True):
    """A token and its log-probability."""

    token: str
    logprob: float


class Logprob(Alternative, kw_only=True):
    """A generated token, with the likeliest ones at its place."""

    top_logprobs: list[Alternative] | None = None


class Logprobs(msgspec.Struct, kw_only=True):
    """Log-probabilities in the form of chats (``content``) or of completions (the rest)."""

    content: list[Logprob] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class CalledFunction(msgspec.Struct, kw_only=True):
    """A piece of a call: its name comes once, its arguments in pieces of JSON text."""

    name: str | None = None
    arguments: str | None = None


class CallPiece(msgspec.Struct, kw_only=True):
    """A piece of the call of that index."""

    index: int = 0
    id: str | None = None
    function: CalledFunction | None = None


class Delta(msgspec.Struct, kw_only=True):
    """A piece of a message; thoughts have the one name or the other."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallPiece] | None = None


class Choice(msgspec.Struct, kw_only=True):
    """A piece of an answer."""

    index: int = 0
    delta: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class CachedTokens(msgspec.Struct, kw_only=True):
    """Prompt tokens that needed no computation."""

    cached_tokens: int | None = None


class ReasoningTokens(msgspec.Struct, kw_only=True):
    """Generated tokens that were thoughts."""

    reasoning_tokens: int | None = None


class Usage(msgspec.Struct, kw_only=True):
    """Tokens read and written."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: CachedTokens | None = None
    completion_tokens_details: ReasoningTokens | None = None


class Chunk(msgspec.Struct, kw_only=True):
    """An event of a streamed answer."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: object = None


class Embedding(msgspec.Struct, kw_only=True):
    """A vector."""

    embedding: list[float]
    index: int = 0


class Embeddings(msgspec.Struct, kw_only=True):
    """``POST /v1/embeddings``."""

    data: list[Embedding]
    usage: Usage | None = None
