"""Generations spelt as responses, whole and streamed."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from homeport.domain.generation import (
    Finished,
    FinishReason,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    Usage,
)
from homeport.server.failure import Failure
from homeport.server.generations import Outcome, Step
from homeport.server.openai.responses.output_items import (
    COMPLETED,
    IN_PROGRESS,
    INCOMPLETE,
    OpenCall,
    OpenItem,
    OpenMessage,
    OpenReasoning,
)
from homeport.server.schemas import responses as schema
from homeport.server.schemas.terms import AnswerMark

_PREFIX = "response."
_TOO_MANY = 429
_FAILED = "failed"
_NONE: tuple[msgspec.Struct, ...] = ()

_EVENTS: Mapping[str, type[schema.Event]] = {
    "content_part.added": schema.PartEvent,
    "content_part.done": schema.PartEvent,
    "output_text.delta": schema.TextDeltaEvent,
    "output_text.done": schema.TextDoneEvent,
    "function_call_arguments.delta": schema.ArgumentsDeltaEvent,
    "function_call_arguments.done": schema.ArgumentsDoneEvent,
    "reasoning_summary_part.added": schema.SummaryPartEvent,
    "reasoning_summary_part.done": schema.SummaryPartEvent,
    "reasoning_summary_text.delta": schema.SummaryDeltaEvent,
    "reasoning_summary_text.done": schema.SummaryDoneEvent,
}


class ResponseEncoder:
    """Spells one response; a stream is a row of items, one open at a time.

    Args:
        begun: The response before anything came of it.
    """

    def __init__(self, begun: schema.Response) -> None:
        self._response = begun
        self._number = 0
        self._items = 0
        """How many were begun, void ones too."""
        self._open: OpenItem | None = None
        self._done: list[schema.Item] = []

    def encode(self, step: Step) -> Iterator[msgspec.Struct]:
        """Spell one event."""
        match step.event:
            case ThoughtDelta(text=text) if text:
                yield from self._thought(text)
            case TextDelta(text=text, logprobs=logprobs) if text or logprobs:
                if not isinstance(self._open, OpenMessage):
                    yield from self._enter(OpenMessage())
                if isinstance(self._open, OpenMessage):
                    yield from self._tell_all(self._open.add(text, logprobs))
            case ToolCallDelta() as delta:
                yield from self._call(delta)
            case Finished() as finished:
                yield from self._finish(finished)

    def restart(self, _index: int) -> Iterator[msgspec.Struct]:
        """Spell that what came so far is void."""
        yield from self._leave(INCOMPLETE)
        self._done = []
        yield schema.RestartEvent(
            type="homeport", sequence_number=self._next(), homeport=AnswerMark(restarted=True)
        )

    def finish(self) -> Sequence[msgspec.Struct]:
        """Add nothing: the last event of the generation said all."""
        return _NONE

    def fail(self, failure: Failure) -> Iterator[msgspec.Struct]:
        """Spell that the answer failed."""
        yield from self._begin()
        yield from self._leave(INCOMPLETE)
        code = "server_error" if failure.is_ours else "invalid_prompt"
        error = schema.ResponseError(
            "rate_limit_exceeded" if failure.status == _TOO_MANY else code, failure.text
        )
        usage = None if failure.partial is None else usage_of(failure.partial)
        yield self._lifecycle(_FAILED, status=_FAILED, error=error, output=self._done, usage=usage)

    def whole(self, outcomes: Sequence[Outcome]) -> schema.Response:
        """Spell a whole response."""
        (outcome,) = outcomes
        items = [*_spoken(outcome), *_called(outcome)]
        status = _status(outcome.finished)
        output = [item.item(status if item is items[-1] else COMPLETED) for item in items]
        return self._ended(outcome.finished, output)

    def _thought(self, text: str) -> Iterator[msgspec.Struct]:
        if not isinstance(self._open, OpenReasoning):
            yield from self._enter(OpenReasoning())
        if isinstance(self._open, OpenReasoning):
            yield from self._tell_all(self._open.add(text))

    def _call(self, delta: ToolCallDelta) -> Iterator[msgspec.Struct]:
        if not isinstance(self._open, OpenCall) or self._open.index != delta.index:
            yield from self._enter(OpenCall(delta.index, delta.id, delta.name))
        if isinstance(self._open, OpenCall):
            yield from self._tell_all(self._open.add(delta.arguments))

    def _begin(self) -> Iterator[msgspec.Struct]:
        if self._number:
            return
        yield self._lifecycle("created", status=IN_PROGRESS)
        yield self._lifecycle("in_progress", status=IN_PROGRESS)

    def _enter(self, item: OpenItem) -> Iterator[msgspec.Struct]:
        """Open an item, and close the one before it."""
        yield from self._begin()
        yield from self._leave(COMPLETED)
        self._open = item
        self._items += 1
        yield self._item_event("output_item.added", item.item(IN_PROGRESS))
        yield from self._tell_all(item.opened())

    def _leave(self, status: str) -> Iterator[msgspec.Struct]:
        """Close the item that is open."""
        if self._open is None:
            return
        yield from self._tell_all(self._open.closed(status))
        whole = self._open.item(status)
        self._open = None
        self._done.append(whole)
        yield self._item_event("output_item.done", whole)

    def _finish(self, finished: Finished) -> Iterator[msgspec.Struct]:
        if not self._done and self._open is None:
            yield from self._enter(OpenMessage())
        status = _status(finished)
        yield from self._leave(status)
        yield schema.ResponseEvent(
            type=_PREFIX + status,
            sequence_number=self._next(),
            response=self._ended(finished, self._done),
        )

    def _ended(self, finished: Finished, output: list[schema.Item]) -> schema.Response:
        status = _status(finished)
        details = schema.IncompleteDetails("max_output_tokens") if status == INCOMPLETE else None
        return msgspec.structs.replace(
            self._response,
            status=status,
            incomplete_details=details,
            output=output,
            usage=usage_of(finished.usage),
        )

    def _tell_all(self, told: Iterator[tuple[str, Mapping[str, object]]]) -> Iterator[msgspec.Struct]:
        """Spell what the open item tells."""
        item_id = self._open.id if self._open else ""
        for name, fields in told:
            yield _EVENTS[name](
                type=_PREFIX + name,
                sequence_number=self._next(),
                **{"item_id": item_id, "output_index": self._items - 1, **fields},
            )

    def _item_event(self, name: str, item: schema.Item) -> schema.ItemEvent:
        return schema.ItemEvent(
            type=_PREFIX + name, sequence_number=self._next(), output_index=self._items - 1, item=item
        )

    def _lifecycle(self, name: str, **changes: object) -> schema.ResponseEvent:
        response = msgspec.structs.replace(self._response, **changes)
        return schema.ResponseEvent(type=_PREFIX + name, sequence_number=self._next(), response=response)

    def _next(self) -> int:
        self._number += 1
        return self._number - 1


def usage_of(*usages: Usage) -> schema.Usage:
    """Sum up."""
    read = sum(usage.prompt_tokens for usage in usages)
    written = sum(usage.completion_tokens for usage in usages)
    return schema.Usage(
        input_tokens=read,
        input_tokens_details=schema.CachedTokens(cached_tokens=sum(usage.cached_tokens for usage in usages)),
        output_tokens=written,
        output_tokens_details=schema.ReasoningTokens(sum(usage.thought_tokens for usage in usages)),
        total_tokens=read + written,
    )


def _status(finished: Finished) -> str:
    return INCOMPLETE if finished.reason is FinishReason.LENGTH else COMPLETED


def _spoken(outcome: Outcome) -> Iterator[OpenItem]:
    """Give thoughts and text; an answer that is empty has one empty text."""
    if outcome.thoughts:
        yield OpenReasoning(texts=[outcome.thoughts])
    if outcome.text or not (outcome.thoughts or outcome.tool_calls):
        message = OpenMessage()
        for _ in message.add(outcome.text, outcome.logprobs):
            pass
        yield message


def _called(outcome: Outcome) -> Iterator[OpenItem]:
    for index, call in enumerate(outcome.tool_calls):
        yield OpenCall(index, call.id, call.name, pieces=[call.arguments])
