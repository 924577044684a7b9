"""Generations spelt as the chunks of generate and chat."""

from collections.abc import Callable, Iterable, Sequence

import attrs
from msgspec import UNSET, UnsetType

from homeport.domain.generation import (
    Finished,
    PromptAccepted,
    PromptScored,
    TextDelta,
    ThoughtDelta,
    TokenLogprob,
    ToolCallDelta,
)
from homeport.server.generations import Outcome, Step
from homeport.server.ollama.calls import OpenCall, Piece, piece_of_calls
from homeport.server.ollama.clock import created_now
from homeport.server.schemas.ollama import (
    Alternative,
    AnswerMessage,
    ChatChunk,
    Chunk,
    GenerateChunk,
    Logprob,
)
from homeport.server.schemas.terms import AnswerMark
from homeport.server.state import nanoseconds, nanoseconds_since
from homeport.server.token_text import token_bytes, writable

Form = Callable[[str, Piece], Chunk]
"""How a route spells a piece of what a model says."""


def generate_form(model: str, piece: Piece) -> Chunk:
    """Spell a piece for generate."""
    return GenerateChunk(
        model=model,
        created_at=created_now(),
        response=piece.text,
        thinking=piece.thoughts or UNSET,
        tool_calls=list(piece.calls) or UNSET,
    )


def chat_form(model: str, piece: Piece) -> Chunk:
    """Spell a piece for chat."""
    message = AnswerMessage(
        content=piece.text, thinking=piece.thoughts or UNSET, tool_calls=list(piece.calls) or UNSET
    )
    return ChatChunk(model=model, created_at=created_now(), message=message)


@attrs.define(kw_only=True)
class ChunkEncoder:
    """Spells the one generation of a request; a call is held back until it is whole.

    Attributes:
        model: The name as the client sent it.
        form: Of the route.
        arrived_at: When the request came, on the monotonic clock.
        returns_context: Whether the last chunk of generate holds the token ids.
    """

    model: str
    form: Form
    arrived_at: float
    returns_context: bool = True
    _accepted_at: float | None = None
    _open: OpenCall = attrs.field(factory=OpenCall, init=False)

    def encode(self, step: Step) -> Iterable[Chunk]:
        """Spell one event."""
        if self._accepted_at is None:
            self._accepted_at = step.came_at
        match step.event:
            case ToolCallDelta() as delta:
                if self._open.is_another(delta):
                    yield from self._closed_call()
                self._open.add(delta)
            case TextDelta(text=text, logprobs=logprobs):
                yield from self._closed_call()
                yield from self._said(Piece(text), logprobs)
            case ThoughtDelta(text=text, logprobs=logprobs):
                yield from self._closed_call()
                yield from self._said(Piece(thoughts=text), logprobs)
            case Finished() as finished:
                yield from self._closed_call()
                yield self._last(Piece(), (), finished, self._accepted_at)
            case PromptAccepted() | PromptScored():
                pass

    def restart(self, index: int) -> Iterable[Chunk]:
        """Spell that what came of the answer so far is void."""
        self._open = OpenCall()
        mark = self._chunk(Piece(), ())
        mark.homeport = AnswerMark(restarted=True, index=index)
        return (mark,)

    def finish(self) -> Iterable[Chunk]:
        """Nothing follows the last chunk."""
        return ()

    def whole(self, outcomes: Sequence[Outcome]) -> Chunk:
        """Spell text, thoughts, calls and figures in one object."""
        (outcome,) = outcomes
        called = piece_of_calls(enumerate(outcome.tool_calls))
        piece = Piece(outcome.text + called.text, outcome.thoughts, called.calls)
        logprobs = (*outcome.thought_logprobs, *outcome.logprobs)
        return self._last(piece, logprobs, outcome.finished, outcome.accepted_at)

    def _closed_call(self) -> Iterable[Chunk]:
        called, self._open = self._open, OpenCall()
        yield from self._said(called.piece(), called.logprobs)

    def _said(self, piece: Piece, logprobs: Sequence[TokenLogprob]) -> Iterable[Chunk]:
        if piece or logprobs:
            yield self._chunk(piece, logprobs)

    def _chunk(self, piece: Piece, logprobs: Sequence[TokenLogprob]) -> Chunk:
        chunk = self.form(self.model, piece)
        if logprobs:
            chunk.logprobs = [_logprob(entry) for entry in logprobs]
        return chunk

    def _last(
        self, piece: Piece, logprobs: Sequence[TokenLogprob], finished: Finished, accepted_at: float
    ) -> Chunk:
        chunk = self._chunk(piece, logprobs)
        chunk.done = True
        chunk.done_reason = finished.reason.value
        usage = finished.usage
        chunk.total_duration = nanoseconds_since(self.arrived_at)
        chunk.load_duration = nanoseconds(accepted_at - self.arrived_at)
        chunk.prompt_eval_count = usage.prompt_tokens
        chunk.prompt_eval_cached_count = usage.cached_tokens
        chunk.prompt_eval_duration = nanoseconds(usage.prompt_seconds)
        chunk.eval_count = usage.completion_tokens
        chunk.eval_duration = nanoseconds(usage.completion_seconds)
        if usage.drafted_tokens:
            chunk.draft_count = usage.drafted_tokens
            chunk.draft_accepted_count = usage.accepted_tokens
        if isinstance(chunk, GenerateChunk) and self.returns_context and finished.context:
            chunk.context = finished.context
        return chunk


def _logprob(entry: TokenLogprob) -> Logprob:
    alternatives = [
        Alternative(token, writable(logprob), _bytes(token)) for token, logprob in entry.alternatives
    ]
    return Logprob(entry.token, writable(entry.logprob), _bytes(entry.token), alternatives or UNSET)


def _bytes(token: str) -> list[int] | UnsetType:
    return token_bytes(token) or UNSET
