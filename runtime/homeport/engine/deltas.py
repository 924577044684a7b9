"""Pieces of an answer, joined where they belong together."""

from collections.abc import Iterable

import attrs

from homeport.domain.generation import AnswerDelta, TextDelta, ThoughtDelta, ToolCallDelta


def joined(deltas: Iterable[AnswerDelta]) -> list[AnswerDelta]:
    """Join neighbours of one kind, and of one call."""
    result: list[AnswerDelta] = []
    for delta in deltas:
        both = _both(result[-1], delta) if result else None
        if both is None:
            result.append(delta)
        else:
            result[-1] = both
    return result


def _both(first: AnswerDelta, second: AnswerDelta) -> AnswerDelta | None:
    logprobs = first.logprobs + second.logprobs
    match first, second:
        case TextDelta(), TextDelta():
            return TextDelta(first.text + second.text, logprobs)
        case ThoughtDelta(), ThoughtDelta():
            return ThoughtDelta(first.text + second.text, logprobs)
        case ToolCallDelta(), ToolCallDelta() if first.index == second.index:
            return attrs.evolve(first, arguments=first.arguments + second.arguments, logprobs=logprobs)
    return None
