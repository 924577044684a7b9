"""Generations spelt as the choices of chat completions."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from homeport.domain.generation import Finished, TextDelta, TokenLogprob
from homeport.server.generations import Outcome, Step
from homeport.server.openai.envelope import Envelope
from homeport.server.schemas import openai as schema
from homeport.server.token_text import token_bytes, writable

if TYPE_CHECKING:
    from homeport.domain.generation import Usage


class ChatEncoder:
    """Spells the choices of one chat; the first chunk of each names the role."""

    def __init__(self, envelope: Envelope, *, reports_logprobs: bool) -> None:
        self._envelope = envelope
        self._reports_logprobs = reports_logprobs
        self._opened: set[int] = set()
        self._usages: dict[int, Usage] = {}

    def encode(self, step: Step) -> Iterable[schema.Completion]:
        """Spell one event."""
        match step.event:
            case TextDelta(text=text, logprobs=logprobs):
                if not text and not logprobs:
                    return
                piece = schema.ChatChunkChoice(
                    index=step.index, delta=schema.Delta(content=text), logprobs=self._logprobs(logprobs)
                )
            case Finished(reason=reason, usage=usage):
                self._usages[step.index] = usage
                piece = schema.ChatChunkChoice(
                    index=step.index, delta=schema.Delta(), finish_reason=reason.value
                )
            case _:
                return
        if step.index not in self._opened:
            self._opened.add(step.index)
            opening = schema.Delta(role="assistant", content="")
            yield self._envelope.chunk([schema.ChatChunkChoice(index=step.index, delta=opening)])
        yield self._envelope.chunk([piece])

    def restart(self, index: int) -> Iterable[schema.Completion]:
        """Spell that what came of a choice so far is void."""
        return (self._envelope.restart(index),)

    def finish(self) -> Iterable[schema.Completion]:
        """Spell the usage where it was asked for."""
        return (self._envelope.usage_chunk(self._usages),) if self._envelope.reports_usage else ()

    def whole(self, outcomes: Sequence[Outcome]) -> schema.Completion:
        """Spell all choices in one object."""
        choices = [
            schema.ChatChoice(
                index=index,
                message=schema.AnswerMessage(content=outcome.text),
                logprobs=self._logprobs(outcome.logprobs) if self._reports_logprobs else None,
                finish_reason=outcome.finished.reason.value,
            )
            for index, outcome in enumerate(outcomes)
        ]
        usages = {index: outcome.finished.usage for index, outcome in enumerate(outcomes)}
        return self._envelope.whole(choices, usages)

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
