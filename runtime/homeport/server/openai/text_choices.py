"""Generations spelt as the choices of completions."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from homeport.domain.generation import Finished, PromptAccepted, TextDelta, TokenLogprob
from homeport.server.generations import Outcome, Step
from homeport.server.openai.envelope import Envelope
from homeport.server.schemas import openai as schema
from homeport.server.token_text import writable

if TYPE_CHECKING:
    from homeport.domain.generation import Usage


class TextEncoder:
    """Spells the choices of one completion.

    Args:
        envelope: Of the answer.
        echoes: Text put before each choice, by its prompt; empty where prompts are not echoed.
        reports_logprobs: Whether log-probabilities were asked for.
    """

    def __init__(self, envelope: Envelope, *, echoes: Sequence[str], reports_logprobs: bool) -> None:
        self._envelope = envelope
        self._echoes = echoes
        self._reports_logprobs = reports_logprobs
        self._lengths: dict[int, int] = {}
        self._usages: dict[int, Usage] = {}

    def encode(self, step: Step) -> Iterable[schema.Completion]:
        """Spell one event; an echo is a chunk of its own."""
        index = step.index
        if isinstance(step.event, PromptAccepted):
            return
        if index not in self._lengths:
            self._lengths[index] = len(self._echo(index))
            if self._echo(index):
                yield self._envelope.chunk([schema.TextChoice(index=index, text=self._echo(index))])
        match step.event:
            case TextDelta(text=text, logprobs=logprobs):
                if not text and not logprobs:
                    return
                choice = schema.TextChoice(
                    index=index, text=text, logprobs=self._logprobs(logprobs, self._lengths[index])
                )
                self._lengths[index] += len(text)
            case Finished(reason=reason, usage=usage):
                self._usages[index] = usage
                choice = schema.TextChoice(index=index, text="", finish_reason=reason.value)
            case _:
                return
        yield self._envelope.chunk([choice])

    def restart(self, index: int) -> Iterable[schema.Completion]:
        """Spell that what came of a choice so far is void, but for what was echoed."""
        self._lengths[index] = len(self._echo(index))
        return (self._envelope.restart(index),)

    def finish(self) -> Iterable[schema.Completion]:
        """Spell the usage where it was asked for."""
        return (self._envelope.usage_chunk(self._usages),) if self._envelope.reports_usage else ()

    def whole(self, outcomes: Sequence[Outcome]) -> schema.Completion:
        """Spell all choices in one object."""
        choices = [
            schema.TextChoice(
                index=index,
                text=self._echo(index) + outcome.text,
                logprobs=self._logprobs(outcome.logprobs, len(self._echo(index))),
                finish_reason=outcome.finished.reason.value,
            )
            for index, outcome in enumerate(outcomes)
        ]
        usages = {index: outcome.finished.usage for index, outcome in enumerate(outcomes)}
        return self._envelope.whole(choices, usages)

    def _echo(self, index: int) -> str:
        return self._echoes[index // self._envelope.choices_per_prompt] if self._echoes else ""

    def _logprobs(self, entries: Sequence[TokenLogprob], offset: int) -> schema.TextLogprobs | None:
        if not self._reports_logprobs:
            return None
        offsets = []
        for entry in entries:
            offsets.append(offset)
            offset += len(entry.token)
        return schema.TextLogprobs(
            tokens=[entry.token for entry in entries],
            token_logprobs=[writable(entry.logprob) for entry in entries],
            top_logprobs=[_alternatives(entry) for entry in entries],
            text_offset=offsets,
        )


def _alternatives(entry: TokenLogprob) -> dict[str, float]:
    """Map the likeliest tokens, and the one that was chosen, to their log-probabilities."""
    return {
        token: writable(logprob) for token, logprob in (*entry.alternatives, (entry.token, entry.logprob))
    }
