"""From the lines of an answer to events."""

from collections.abc import AsyncGenerator

from homeport import (
    Finished,
    FinishReason,
    GenerationError,
    GenerationEvent,
    Prompt,
    TextDelta,
    TokenLogprob,
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
    while (line := await reply.line()) is not None:
        chunk = reply.decode(Chunk, line)
        if chunk.error:
            fault = reply.fault(f"failed within an answer: {str(chunk.error)!r:.300}")
            raise GenerationError(fault.message) if pieces else fault
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
