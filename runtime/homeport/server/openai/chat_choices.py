"""Generations spelt as the choices of chat completions."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import UNSET

from homeport.domain.generation import (
    Finished,
    FinishReason,
    PromptAccepted,
    PromptScored,
    TextDelta,
    ThoughtDelta,
    TokenLogprob,
    ToolCallDelta,
)
from homeport.server.generations import Outcome, Step
from homeport.server.openai.calls import StreamedCalls, whole_calls
from homeport.server.openai.envelope import Envelope
from homeport.server.schemas import openai as schema
from homeport.server.token_text import token_bytes, writable

if TYPE_CHECKING:
    from homeport.domain.generation import Usage


class ChatEncoder:
    """Spells the choices of one chat; the first chunk of each names the role.

    Log-probabilities are those of text and calls, so that they add up to what the client sees.

    Args:
        envelope: Of the answer.
        reports_logprobs: Whether log-probabilities were asked for.
        makes_function_calls: Whether the client speaks of ``functions``, as was done before there were tools.
    """

    def __init__(
        self, envelope: Envelope, *, reports_logprobs: bool, makes_function_calls: bool = False
    ) -> None:
        self._envelope = envelope
        self._reports_logprobs = reports_logprobs
        self._makes_function_calls = makes_function_calls
        self._opened: set[int] = set()
        self._calls: dict[int, StreamedCalls] = {}
        self._usages: dict[int, Usage] = {}

    def encode(self, step: Step) -> Iterable[schema.Completion]:
        """Spell one event."""
        pieces = self._pieces(step)
        if pieces and step.index not in self._opened:
            self._opened.add(step.index)
            opening = schema.Delta(role="assistant", content="")
            yield self._envelope.chunk([schema.ChatChunkChoice(index=step.index, delta=opening)])
        for piece in pieces:
            yield self._envelope.chunk([piece])

    def restart(self, index: int) -> Iterable[schema.Completion]:
        """Spell that what came of a choice so far is void."""
        self._calls.pop(index, None)
        return (self._envelope.restart(index),)

    def finish(self) -> Iterable[schema.Completion]:
        """Spell the usage where it was asked for."""
        return (self._envelope.usage_chunk(self._usages),) if self._envelope.reports_usage else ()

    def whole(self, outcomes: Sequence[Outcome]) -> schema.Completion:
        """Spell all choices in one object."""
        choices = [
            schema.ChatChoice(
                index=index,
                message=self._message(outcome),
                logprobs=self._logprobs(outcome.logprobs),
                finish_reason=self._reason(outcome.finished.reason, calls=bool(outcome.tool_calls)),
            )
            for index, outcome in enumerate(outcomes)
        ]
        usages = {index: outcome.finished.usage for index, outcome in enumerate(outcomes)}
        return self._envelope.whole(choices, usages)

    def _pieces(self, step: Step) -> Sequence[schema.ChatChunkChoice]:
        match step.event:
            case TextDelta(text=text, logprobs=logprobs) if text or logprobs:
                return self._choices(step.index, [schema.Delta(content=text)], logprobs)
            case ThoughtDelta(text=text) if text:
                return self._choices(step.index, [schema.Delta(reasoning=text)], ())
            case ToolCallDelta() as delta:
                calls = self._calls.setdefault(step.index, self._no_calls())
                return self._choices(step.index, calls.add(delta), delta.logprobs)
            case Finished() as finished:
                return self._last(step.index, finished)
            case TextDelta() | ThoughtDelta() | PromptAccepted() | PromptScored():
                return ()

    def _last(self, index: int, finished: Finished) -> Sequence[schema.ChatChunkChoice]:
        """Spell the end of a choice; a call that a bound of length cut stays as it is."""
        self._usages[index] = finished.usage
        calls = self._calls.get(index)
        is_whole = finished.reason is FinishReason.STOP
        deltas = calls.close() if calls and is_whole else []
        reason = self._reason(finished.reason, calls=calls is not None)
        last = schema.ChatChunkChoice(index=index, delta=schema.Delta(), finish_reason=reason)
        return [*self._choices(index, deltas, ()), last]

    def _no_calls(self) -> StreamedCalls:
        return StreamedCalls(are_function_calls=self._makes_function_calls)

    def _choices(
        self, index: int, deltas: Sequence[schema.Delta], logprobs: Sequence[TokenLogprob]
    ) -> Sequence[schema.ChatChunkChoice]:
        """Spell pieces of a choice; their log-probabilities go with the last."""
        if logprobs and not deltas:
            deltas = [schema.Delta()]
        choices = [schema.ChatChunkChoice(index=index, delta=delta) for delta in deltas]
        if logprobs:
            choices[-1].logprobs = self._logprobs(logprobs)
        return choices

    def _message(self, outcome: Outcome) -> schema.AnswerMessage:
        message = schema.AnswerMessage(
            content=outcome.text or (None if outcome.tool_calls else ""), reasoning=outcome.thoughts or UNSET
        )
        calls = whole_calls(outcome.tool_calls)
        if calls and self._makes_function_calls:
            message.function_call = calls[0].function
        elif calls:
            message.tool_calls = calls
        return message

    def _reason(self, reason: FinishReason, *, calls: bool) -> str:
        if not calls or reason is not FinishReason.STOP:
            return reason.value
        return "function_call" if self._makes_function_calls else "tool_calls"

    def _logprobs(self, entries: Sequence[TokenLogprob]) -> schema.ChatLogprobs | None:
        if not self._reports_logprobs:
            return None
        return schema.ChatLogprobs([_logprob(entry) for entry in entries])


def _logprob(entry: TokenLogprob) -> schema.Logprob:
    alternatives = [
        schema.Alternative(token, writable(logprob), token_bytes(token))
        for token, logprob in entry.alternatives
    ]
    return schema.Logprob(entry.token, writable(entry.logprob), token_bytes(entry.token), alternatives)
