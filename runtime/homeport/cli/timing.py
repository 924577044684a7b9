"""The lines of ``--verbose``, worded as Ollama's."""

from collections.abc import Iterator

from homeport.cli.answers import AnswerTiming
from homeport.cli.figures import duration

_LABEL_WIDTH = 22
_NANOSECONDS_PER_SECOND = 10**9


def timing_lines(timing: AnswerTiming) -> tuple[str, ...]:
    """Write the figures of an answer; those that the server did not tell are left out.

    The prompt's rate counts the tokens that were evaluated, not those found in the prefix cache. Two lines
    that Ollama does not know tell how many those were, and how many tokens were guessed ahead.
    """
    return tuple(f"{label + ':':{_LABEL_WIDTH}}{value}" for label, value in _figures(timing))


def _figures(timing: AnswerTiming) -> Iterator[tuple[str, str]]:
    if timing.total_duration:
        yield "total duration", duration(timing.total_duration)
    if timing.load_duration:
        yield "load duration", duration(timing.load_duration)
    if timing.first_token:
        yield "time to first token", duration(timing.first_token)
    if timing.prompt_tokens:
        yield "prompt eval count", f"{timing.prompt_tokens} token(s)"
    if timing.cached_prompt_tokens:
        yield "prompt cached", f"{timing.cached_prompt_tokens} token(s), not evaluated again"
    if timing.prompt_duration:
        yield "prompt eval duration", duration(timing.prompt_duration)
        evaluated = timing.prompt_tokens - timing.cached_prompt_tokens
        yield "prompt eval rate", _rate(evaluated, timing.prompt_duration)
    if timing.answer_tokens:
        yield "eval count", f"{timing.answer_tokens} token(s)"
    if timing.drafted_tokens:
        yield "drafted", f"{timing.drafted_tokens} token(s), {timing.accepted_tokens} accepted"
    if timing.answer_duration:
        yield "eval duration", duration(timing.answer_duration)
        yield "eval rate", _rate(timing.answer_tokens, timing.answer_duration)


def _rate(tokens: int, nanoseconds: int) -> str:
    return f"{tokens * _NANOSECONDS_PER_SECOND / nanoseconds:.2f} tokens/s"
