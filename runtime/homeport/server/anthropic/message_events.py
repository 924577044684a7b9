"""Generations spelt as Anthropic's messages, whole and streamed."""

from collections.abc import Iterator, Sequence

import attrs
import msgspec

from homeport.domain.generation import (
    Finished,
    FinishReason,
    PromptAccepted,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    Usage,
)
from homeport.domain.tools import ToolCall
from homeport.server.generations import Outcome, Step
from homeport.server.schemas import anthropic as schema
from homeport.server.schemas.terms import AnswerMark
from homeport.server.tool_calls import object_text

_THOUGHTS = "thinking"
_TEXT = "text"
_NO_INPUT = msgspec.Raw(b"{}")
_NONE: tuple[msgspec.Struct, ...] = ()


@attrs.define(kw_only=True)
class MessageEncoder:
    """Spells one message; a stream is a row of blocks, one open at a time.

    Attributes:
        id: Of the message.
        model: The name as the client sent it.
    """

    id: str
    model: str
    _prompt_tokens: int = 0
    _has_begun: bool = False
    _blocks: int = 0
    _open: str | int | None = None
    """Kind of the open block, or the index of its call."""
    _calls: bool = False

    def encode(self, step: Step) -> Iterator[msgspec.Struct]:
        """Spell one event."""
        match step.event:
            case PromptAccepted(prompt_tokens=tokens):
                self._prompt_tokens = tokens
            case ThoughtDelta(text=text) if text:
                yield from self._enter(_THOUGHTS, schema.ThinkingBlock(thinking=""))
                yield self._piece(schema.ThinkingPiece(thinking=text))
            case TextDelta(text=text) if text:
                yield from self._enter(_TEXT, schema.TextBlock(text=""))
                yield self._piece(schema.TextPiece(text=text))
            case ToolCallDelta() as delta:
                yield from self._call(delta)
            case Finished() as finished:
                yield from self._finish(finished)

    def restart(self, _index: int) -> Iterator[msgspec.Struct]:
        """Spell that what came so far is void; further blocks are counted on."""
        yield from self._leave()
        self._calls = False
        yield schema.RestartMark(homeport=AnswerMark(restarted=True))

    def finish(self) -> Sequence[msgspec.Struct]:
        """Add nothing: the last event of the generation said all."""
        return _NONE

    def whole(self, outcomes: Sequence[Outcome]) -> schema.MessageAnswer:
        """Spell a whole message."""
        (outcome,) = outcomes
        finished = outcome.finished
        ending = _ending(finished, calls=bool(outcome.tool_calls))
        return schema.MessageAnswer(
            id=self.id,
            model=self.model,
            content=_blocks(outcome),
            stop_reason=ending.stop_reason,
            stop_sequence=ending.stop_sequence,
            usage=_usage(finished.usage),
        )

    def _begin(self) -> Iterator[msgspec.Struct]:
        if self._has_begun:
            return
        self._has_begun = True
        usage = schema.Usage(input_tokens=self._prompt_tokens, output_tokens=0)
        yield schema.MessageStart(
            message=schema.MessageAnswer(id=self.id, model=self.model, content=[], usage=usage)
        )

    def _enter(self, kind: str | int, block: schema.Block) -> Iterator[msgspec.Struct]:
        """Open a block unless it is the one that is open."""
        if self._open == kind:
            return
        yield from self._begin()
        yield from self._leave()
        self._open = kind
        self._blocks += 1
        yield schema.BlockStart(index=self._blocks - 1, content_block=block)

    def _leave(self) -> Iterator[msgspec.Struct]:
        if self._open is not None:
            self._open = None
            yield schema.BlockStop(index=self._blocks - 1)

    def _piece(self, delta: schema.TextPiece | schema.ThinkingPiece | schema.InputPiece) -> schema.BlockDelta:
        return schema.BlockDelta(index=self._blocks - 1, delta=delta)

    def _call(self, delta: ToolCallDelta) -> Iterator[msgspec.Struct]:
        self._calls = True
        yield from self._enter(
            delta.index, schema.ToolUseBlock(id=delta.id, name=delta.name, input=_NO_INPUT)
        )
        if delta.arguments:
            yield self._piece(schema.InputPiece(partial_json=delta.arguments))

    def _finish(self, finished: Finished) -> Iterator[msgspec.Struct]:
        if not self._blocks:
            yield from self._enter(_TEXT, schema.TextBlock(text=""))
        yield from self._leave()
        yield schema.MessageDelta(delta=_ending(finished, calls=self._calls), usage=_usage(finished.usage))
        yield schema.MessageStop()


def _blocks(outcome: Outcome) -> list[schema.Block]:
    """Spell thoughts, text and calls; an answer that is empty has one empty text."""
    blocks: list[schema.Block] = []
    if outcome.thoughts:
        blocks.append(schema.ThinkingBlock(thinking=outcome.thoughts))
    if outcome.text or not (outcome.thoughts or outcome.tool_calls):
        blocks.append(schema.TextBlock(text=outcome.text))
    return [*blocks, *(_tool_use(call) for call in outcome.tool_calls)]


def _tool_use(call: ToolCall) -> schema.ToolUseBlock:
    """Spell a call; one that was cut short has no arguments."""
    arguments = object_text(call.arguments) or "{}"
    return schema.ToolUseBlock(id=call.id, name=call.name, input=msgspec.Raw(arguments.encode()))


def _ending(finished: Finished, *, calls: bool) -> schema.Ending:
    if finished.reason is FinishReason.LENGTH:
        return schema.Ending(stop_reason="max_tokens")
    if calls:
        return schema.Ending(stop_reason="tool_use")
    if finished.stopped_by:
        return schema.Ending(stop_reason="stop_sequence", stop_sequence=finished.stopped_by)
    return schema.Ending(stop_reason="end_turn")


def _usage(usage: Usage) -> schema.Usage:
    return schema.Usage(
        input_tokens=max(usage.prompt_tokens - usage.cached_tokens, 0),
        output_tokens=usage.completion_tokens,
        cache_read_input_tokens=usage.cached_tokens,
        output_tokens_details=schema.OutputDetails(usage.thought_tokens),
    )
