"""Generations spelt as the choices of completions."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

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
from homeport.server.openai.echoes import Echo, Echoes
from homeport.server.openai.envelope import Envelope
from homeport.server.schemas import openai as schema
from homeport.server.token_text import writable

if TYPE_CHECKING:
    from homeport.domain.generation import Usage


class TextEncoder:
    """Spells the choices of one completion, which have neither thoughts nor calls.

    Args:
        envelope: Of the answer.
        echoes: What stands before the choices.
        reports_logprobs: Whether log-probabilities were asked for.
    """

    def __init__(self, envelope: Envelope, *, echoes: Echoes, reports_logprobs: bool) -> None:
        self._envelope = envelope
        self._echoes = echoes
        self._reports_logprobs = reports_logprobs
        self._scores: dict[int, tuple[TokenLogprob, ...]] = {}
        self._echoed: dict[int, int] = {}
        self._lengths: dict[int, int] = {}
        self._usages: dict[int, Usage] = {}

    def encode(self, step: Step) -> Iterable[schema.Completion]:
        """Spell one event; an echo is a chunk of its own."""
        index = step.index
        match step.event:
            case PromptAccepted():
                pass
            case PromptScored(logprobs=logprobs):
                self._scores.setdefault(index, logprobs)
            case TextDelta(text=text, logprobs=logprobs):
                yield from self._echo(index)
                if text or logprobs:
                    told = self._logprobs(logprobs, self._lengths[index])
                    self._lengths[index] += len(text)
                    yield self._envelope.chunk([schema.TextChoice(index=index, text=text, logprobs=told)])
            case ThoughtDelta() | ToolCallDelta():
                yield from self._echo(index)
            case Finished(reason=reason, usage=usage):
                yield from self._echo(index)
                self._usages[index] = usage
                last = schema.TextChoice(index=index, text="", finish_reason=reason.value)
                yield self._envelope.chunk([last])

    def restart(self, index: int) -> Iterable[schema.Completion]:
        """Spell that what came of a choice so far is void, but for what was echoed."""
        self._lengths[index] = self._echoed.get(index, 0)
        return (self._envelope.restart(index),)

    def finish(self) -> Iterable[schema.Completion]:
        """Spell the usage where it was asked for."""
        return (self._envelope.usage_chunk(self._usages),) if self._envelope.reports_usage else ()

    def whole(self, outcomes: Sequence[Outcome]) -> schema.Completion:
        """Spell all choices in one object."""
        choices = [self._choice(index, outcome) for index, outcome in enumerate(outcomes)]
        usages = {index: outcome.finished.usage for index, outcome in enumerate(outcomes)}
        return self._envelope.whole(choices, usages)

    def _choice(self, index: int, outcome: Outcome) -> schema.TextChoice:
        echo = self._before(index, outcome.prompt_logprobs)
        return schema.TextChoice(
            index=index,
            text=echo.text + outcome.text,
            logprobs=self._logprobs(outcome.logprobs, len(echo.text), echo),
            finish_reason=outcome.finished.reason.value,
        )

    def _echo(self, index: int) -> Iterable[schema.Completion]:
        """Spell what stands before a choice, once."""
        if index in self._echoed:
            return
        echo = self._before(index, self._scores.get(index, ()))
        self._echoed[index] = self._lengths[index] = len(echo.text)
        if echo.text:
            told = self._logprobs((), 0, echo)
            yield self._envelope.chunk([schema.TextChoice(index=index, text=echo.text, logprobs=told)])

    def _before(self, index: int, tokens: Sequence[TokenLogprob]) -> Echo:
        return self._echoes.before(index // self._envelope.choices_per_prompt, tokens)

    def _logprobs(
        self, entries: Sequence[TokenLogprob], offset: int, echo: Echo | None = None
    ) -> schema.TextLogprobs | None:
        """Spell the log-probabilities of an echo, whose first token has none, and of text at an offset."""
        if not self._reports_logprobs:
            return None
        prompt = echo.logprobs if echo else ()
        told = [writable(entry.logprob) for entry in (*prompt, *entries)]
        likeliest = [_alternatives(entry) for entry in (*prompt, *entries)]
        return schema.TextLogprobs(
            tokens=[entry.token for entry in (*prompt, *entries)],
            token_logprobs=[None, *told[1:]] if prompt else [*told],
            top_logprobs=[None, *likeliest[1:]] if prompt else [*likeliest],
            text_offset=[*(echo.offsets if echo else ()), *_offsets(entries, offset)],
        )


def _offsets(entries: Sequence[TokenLogprob], offset: int) -> Iterable[int]:
    for entry in entries:
        yield offset
        offset += len(entry.token)


def _alternatives(entry: TokenLogprob) -> dict[str, float]:
    """Map the likeliest tokens, and the one that was chosen, to their log-probabilities."""
    return {
        token: writable(logprob) for token, logprob in (*entry.alternatives, (entry.token, entry.logprob))
    }
