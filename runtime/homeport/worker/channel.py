"""The messages between host and worker: MessagePack behind a four-byte big-endian length.

The structs mirror domain values one to one where MessagePack needs a tag to tell a union apart.
"""

import asyncio
import socket
from typing import Any

import msgspec

from homeport.domain.constraint import Constraint
from homeport.domain.embedding import EmbeddingRequest, EmbeddingResult
from homeport.domain.errors import (
    ConfigError,
    GenerationError,
    HomeportError,
    InvalidRequestError,
    LoadError,
    PluginError,
)
from homeport.domain.generation import (
    AnswerDelta,
    ChatPrompt,
    FillPrompt,
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    Priority,
    Prompt,
    PromptAccepted,
    PromptScored,
    Sampling,
    TextDelta,
    TextPrompt,
    ThoughtDelta,
    TokenLogprob,
    TokenPrompt,
    ToolCallDelta,
    Usage,
)
from homeport.domain.overload import OverloadedError
from homeport.engine.options import EngineOptions
from homeport.plugin.token_model import LoadPlan, TokenModelFacts

LENGTH_BYTES = 4
MAX_FRAME_BYTES = 256 * 1024**2
"""Larger than any body the host accepts; a longer frame means that the two sides lost step."""


class Turns(msgspec.Struct, tag="turns"):
    """A ``ChatPrompt``."""

    prompt: ChatPrompt


class Text(msgspec.Struct, tag="text"):
    """A ``TextPrompt``."""

    text: str


class Ids(msgspec.Struct, tag="ids"):
    """A ``TokenPrompt``."""

    tokens: tuple[int, ...]


class Gap(msgspec.Struct, tag="gap"):
    """A ``FillPrompt``."""

    prompt: FillPrompt


TaggedPrompt = Turns | Text | Ids | Gap


class Prepare(msgspec.Struct, tag="prepare"):
    """Before ``Load``, if at all: what it will most likely build, to be imported ahead."""

    factory: str


class Load(msgspec.Struct, tag="load"):
    """What a worker is to build. Imports come from installed plugins, never from a request."""

    factory: str
    config_class: str | None
    config: dict[str, Any]
    path: str
    plan: LoadPlan
    options: EngineOptions = EngineOptions()
    beat_seconds: float = 1.0


class Generate(msgspec.Struct, tag="generate"):
    """Start a generation."""

    id: str
    prompt: TaggedPrompt
    sampling: Sampling
    context_length: int | None
    truncate: bool
    priority: Priority = Priority.NORMAL
    owner: str = ""
    begun: str = ""
    constraint: Constraint | None = None


class Embed(msgspec.Struct, tag="embed"):
    """Embed texts or ids."""

    request: EmbeddingRequest


class Cancel(msgspec.Struct, tag="cancel"):
    """Forget a generation; unknown ids are ignored."""

    id: str


class Ready(msgspec.Struct, tag="ready"):
    """The model is loaded."""

    facts: TokenModelFacts


class Beat(msgspec.Struct, tag="beat"):
    """How a worker is: what it has done in all, whether it has work, what it holds and the most it held."""

    steps: int
    works: bool
    resident_bytes: int
    peak_bytes: int
    cached_tokens: int


class Accepted(msgspec.Struct, tag="accepted"):
    """A ``PromptAccepted``."""

    id: str
    prompt_tokens: int
    truncated: bool


class Delta(msgspec.Struct, tag="delta"):
    """A ``TextDelta``."""

    id: str
    text: str
    logprobs: tuple[TokenLogprob, ...]


class Scored(msgspec.Struct, tag="scored"):
    """A ``PromptScored``."""

    id: str
    logprobs: tuple[TokenLogprob, ...]


class Thought(msgspec.Struct, tag="thought"):
    """A ``ThoughtDelta``."""

    id: str
    text: str
    logprobs: tuple[TokenLogprob, ...]


class Call(msgspec.Struct, tag="call"):
    """A ``ToolCallDelta``."""

    id: str
    delta: ToolCallDelta


class End(msgspec.Struct, tag="end"):
    """A ``Finished``."""

    id: str
    reason: FinishReason
    usage: Usage
    context: tuple[int, ...]
    stopped_by: str = ""


class Vectors(msgspec.Struct, tag="vectors"):
    """An ``EmbeddingResult``."""

    id: str
    vectors: tuple[tuple[float, ...], ...]
    prompt_tokens: int


class Failure(msgspec.Struct, tag="failure"):
    """An error; an empty id means that the model could not be loaded."""

    id: str
    code: str
    message: str
    hint: str | None
    field: str | None


ToWorker = Prepare | Load | Generate | Embed | Cancel
EventMessage = Accepted | Scored | Delta | Thought | Call | End
"""A ``GenerationEvent``."""

FromWorker = Ready | Beat | EventMessage | Vectors | Failure

_encoder = msgspec.msgpack.Encoder()
to_worker_decoder: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
from_worker_decoder: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


def frame(message: ToWorker | FromWorker) -> bytes:
    """Encode a message with its length in front."""
    payload = _encoder.encode(message)
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


def receive(connection: socket.socket) -> bytes | None:
    """Read one payload, blocking; None when the other side closed."""
    header = _exactly(connection, LENGTH_BYTES)
    return None if header is None else _exactly(connection, _length(header))


async def receive_async(reader: asyncio.StreamReader) -> bytes | None:
    """Read one payload; None when the other side closed."""
    try:
        header = await reader.readexactly(LENGTH_BYTES)
        return await reader.readexactly(_length(header))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def generate_message(request: GenerationRequest) -> Generate:
    """Translate a request."""
    return Generate(
        id=request.id,
        prompt=_tagged(request.prompt),
        sampling=request.sampling,
        context_length=request.context_length,
        truncate=request.truncate,
        priority=request.priority,
        owner=request.owner,
        begun=request.begun,
        constraint=request.constraint,
    )


def request_of(message: Generate) -> GenerationRequest:
    """Translate a request back; the model's name stays with the host."""
    return GenerationRequest(
        id=message.id,
        model="",
        prompt=_untagged(message.prompt),
        sampling=message.sampling,
        context_length=message.context_length,
        truncate=message.truncate,
        priority=message.priority,
        owner=message.owner,
        begun=message.begun,
        constraint=message.constraint,
    )


def event_message(request_id: str, event: GenerationEvent | EmbeddingResult | HomeportError) -> FromWorker:
    """Translate what the engine tells."""
    match event:
        case EmbeddingResult(vectors=vectors, prompt_tokens=tokens):
            return Vectors(request_id, vectors, tokens)
        case HomeportError() as error:
            return failure_message(request_id, error)
        case PromptAccepted(prompt_tokens=tokens, truncated=truncated):
            return Accepted(request_id, tokens, truncated)
        case PromptScored(logprobs=logprobs):
            return Scored(request_id, logprobs)
        case Finished() as end:
            return End(request_id, end.reason, end.usage, end.context, end.stopped_by)
        case delta:
            return _delta_message(request_id, delta)


def _delta_message(request_id: str, delta: AnswerDelta) -> Delta | Thought | Call:
    match delta:
        case TextDelta(text=text, logprobs=logprobs):
            return Delta(request_id, text, logprobs)
        case ThoughtDelta(text=text, logprobs=logprobs):
            return Thought(request_id, text, logprobs)
        case call:
            return Call(request_id, call)


def event_of(message: EventMessage) -> GenerationEvent:
    """Translate an event back."""
    match message:
        case Accepted(prompt_tokens=tokens, truncated=truncated):
            return PromptAccepted(tokens, truncated)
        case Delta(text=text, logprobs=logprobs):
            return TextDelta(text, logprobs)
        case Scored(logprobs=logprobs):
            return PromptScored(logprobs)
        case Thought(text=text, logprobs=logprobs):
            return ThoughtDelta(text, logprobs)
        case Call(delta=delta):
            return delta
        case end:
            return Finished(end.reason, end.usage, end.context, end.stopped_by)


def failure_message(request_id: str, error: HomeportError) -> Failure:
    """Translate an error."""
    field = error.field if isinstance(error, InvalidRequestError) else None
    return Failure(request_id, error.code, error.message, error.hint, field)


def error_of(failure: Failure) -> HomeportError:
    """Build the error that a worker reported; an unknown code is a failed generation."""
    cls = _error_classes().get(failure.code, GenerationError)
    if issubclass(cls, InvalidRequestError):
        return cls(failure.message, field=failure.field, hint=failure.hint)
    return cls(failure.message, hint=failure.hint)


_AT_LOAD: tuple[type[HomeportError], ...] = (PluginError, ConfigError)


def _error_classes() -> dict[str, type[HomeportError]]:
    found: dict[str, type[HomeportError]] = {OverloadedError.code: OverloadedError}
    open_classes: list[type[HomeportError]] = [InvalidRequestError, GenerationError, LoadError, *_AT_LOAD]
    while open_classes:
        cls = open_classes.pop()
        if "code" in vars(cls):  # one that has its parent's is told as its parent
            found[cls.code] = cls
        open_classes.extend(cls.__subclasses__())
    return found


def _tagged(prompt: Prompt) -> TaggedPrompt:
    match prompt:
        case ChatPrompt():
            return Turns(prompt)
        case FillPrompt():
            return Gap(prompt)
        case TextPrompt(text=text):
            return Text(text)
        case ids:
            return Ids(ids.tokens)


def _untagged(prompt: TaggedPrompt) -> Prompt:
    match prompt:
        case Turns(prompt=turns):
            return turns
        case Gap(prompt=gap):
            return gap
        case Text(text=text):
            return TextPrompt(text)
        case ids:
            return TokenPrompt(ids.tokens)


def _length(header: bytes) -> int:
    length = int.from_bytes(header, "big")
    if length > MAX_FRAME_BYTES:
        message = f"a frame of {length} bytes is over the bound of {MAX_FRAME_BYTES}"
        raise ConnectionError(message)
    return length


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(min(count - len(data), 1 << 20))
        if not piece:
            return None
        data += piece
    return bytes(data)
