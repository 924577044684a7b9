"""From the lines of an answer to events."""

import json
import secrets
from collections.abc import AsyncGenerator, Iterator
from itertools import count

from homeport import (
    AnswerDelta,
    Finished,
    FinishReason,
    GenerationError,
    GenerationEvent,
    Prompt,
    TextDelta,
    ThoughtDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from homeport.upstream import Reply, answer_tokens, estimated_tokens
from homeport_ollama.wire import Chunk

_NANOSECONDS = 1e9
"""In a second."""


async def events(reply: Reply, prompt: Prompt) -> AsyncGenerator[GenerationEvent]:
    """Read an answer.

    Args:
        reply: A stream of lines.
        prompt: What was sent, for an estimate of its tokens.

    Raises:
        BackendError: It broke off, is nonsense, or tells an error before any text.
        GenerationError: It tells an error after some text.
    """
    pieces = size_bytes = 0
    calls = count()
    while (line := await reply.line()) is not None:
        chunk = reply.decode(Chunk, line)
        if chunk.error:
            fault = reply.fault(f"failed within an answer: {str(chunk.error)!r:.300}")
            raise GenerationError(fault.message) if pieces else fault
        for thought_or_call in _besides_text(chunk, calls):
            pieces += 1
            yield thought_or_call
        text = (chunk.message.content if chunk.message else chunk.response) or ""
        logprobs = tuple(
            TokenLogprob(
                entry.token,
                entry.logprob,
                tuple((other.token, other.logprob) for other in entry.top_logprobs or ()),
            )
            for entry in chunk.logprobs or ()
        )
        if text or logprobs:
            pieces += 1
            size_bytes += len(text.encode(errors="replace"))
            yield TextDelta(text, logprobs)
        if chunk.done:
            reply.is_over = True
            reason = FinishReason.LENGTH if chunk.done_reason == "length" else FinishReason.STOP
            yield Finished(
                reason, _usage(chunk, prompt, answer_tokens(pieces, size_bytes)), tuple(chunk.context or ())
            )
            return
    raise reply.fault("ended an answer before it was finished")


def _besides_text(chunk: Chunk, calls: Iterator[int]) -> Iterator[AnswerDelta]:
    """Give thoughts and calls; a call that has no id is given one."""
    thought = chunk.message.thinking if chunk.message else chunk.thinking
    if thought:
        yield ThoughtDelta(thought)
    for call in (chunk.message.tool_calls if chunk.message else None) or ():
        index = next(calls)
        yield ToolCallDelta(
            index=index,
            id=call.id or f"call_{secrets.token_hex(4)}",
            name=call.function.name,
            arguments=json.dumps(call.function.arguments or {}, ensure_ascii=False),
        )


def _usage(chunk: Chunk, sent: Prompt, guessed: int) -> Usage:
    """Take the server's figures where they can be true, and the guess where it tells none."""
    prompt = max(chunk.prompt_eval_count or estimated_tokens(sent), 1)
    written = guessed if chunk.eval_count is None else chunk.eval_count
    return Usage(
        prompt_tokens=prompt,
        cached_tokens=min(max(chunk.prompt_eval_cached_count or 0, 0), prompt),
        prompt_seconds=max(chunk.prompt_eval_duration or 0.0, 0.0) / _NANOSECONDS,
        completion_tokens=max(written, 0),
        completion_seconds=max(chunk.eval_duration or 0.0, 0.0) / _NANOSECONDS,
    )
