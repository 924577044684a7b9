"""From the server-sent events of an answer to ours.

Source of the format: https://html.spec.whatwg.org/multipage/server-sent-events.html and
https://platform.openai.com/docs/api-reference/chat-streaming.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator

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
from homeport.upstream import MOST_LINE_BYTES, Reply, answer_tokens, estimated_tokens
from homeport_remote import wire

_DONE = b"[DONE]"


async def next_data(reply: Reply) -> bytes | None:
    """Read the data of the next event; comments and other fields are skipped, None is the end.

    Raises:
        BackendError: The stream broke off, or an event is too long.
    """
    parts: list[bytes] = []
    size = 0
    while (line := await reply.raw_line()) is not None:
        if not line and parts:
            break
        field, _, value = line.partition(b":")
        if field == b"data":
            parts.append(value.removeprefix(b" "))
            size += len(line)
        if size > MOST_LINE_BYTES:
            raise reply.fault(f"sent an event of more than {MOST_LINE_BYTES} bytes")
    return b"\n".join(parts) if parts else None


async def events(reply: Reply, prompt: Prompt) -> AsyncGenerator[GenerationEvent]:
    """Read an answer.

    It is whole when its reason to end has come and the stream has ended properly, with ``[DONE]`` or without,
    since some servers leave it out.

    Args:
        reply: A stream of server-sent events.
        prompt: What was sent, for an estimate of its tokens.

    Raises:
        BackendError: It broke off, is nonsense, or tells an error before any text.
        GenerationError: It tells an error after some text.
    """
    tally = _Tally(prompt)
    reason: str | None = None
    while (data := await next_data(reply)) is not None:
        if data.strip() == _DONE:
            reply.is_over = True
            reason = reason or "stop"
            break
        chunk = reply.decode(wire.Chunk, data)
        if chunk.error:
            fault = reply.fault(f"failed within an answer: {str(chunk.error)!r:.300}")
            raise GenerationError(fault.message) if tally.pieces else fault
        tally.told = chunk.usage or tally.told
        for choice in chunk.choices or ():
            reason = choice.finish_reason or reason
            for delta in _deltas(choice):
                tally.note(delta)
                yield delta
    if reason is None:
        raise reply.fault("ended an answer before it was finished")
    yield Finished(FinishReason.LENGTH if reason == "length" else FinishReason.STOP, tally.usage())


class _Tally:
    """Counts pieces and times them, for what a server does not tell."""

    def __init__(self, sent: Prompt) -> None:
        self.pieces = 0
        self._size_bytes = 0
        self.told: wire.Usage | None = None
        self._sent = sent
        self._started = self._first = self._last = asyncio.get_running_loop().time()

    def note(self, delta: AnswerDelta) -> None:
        text = delta.arguments if isinstance(delta, ToolCallDelta) else delta.text
        self._last = asyncio.get_running_loop().time()
        if not self.pieces:
            self._first = self._last
        self.pieces += 1
        self._size_bytes += len(text.encode(errors="replace"))

    def usage(self) -> Usage:
        told = self.told or wire.Usage()
        prompt = max(told.prompt_tokens or estimated_tokens(self._sent), 1)
        written = told.completion_tokens
        if written is None:
            written = answer_tokens(self.pieces, self._size_bytes)
        cached = told.prompt_tokens_details.cached_tokens if told.prompt_tokens_details else 0
        thought = told.completion_tokens_details.reasoning_tokens if told.completion_tokens_details else 0
        return Usage(
            prompt_tokens=prompt,
            cached_tokens=min(max(cached or 0, 0), prompt),
            prompt_seconds=self._first - self._started,
            completion_tokens=max(written, 0),
            completion_seconds=self._last - self._first,
            thought_tokens=min(max(thought or 0, 0), max(written, 0)),
        )


def _deltas(choice: wire.Choice) -> Iterator[AnswerDelta]:
    """Sort what a piece brings: thoughts, text, calls."""
    delta = choice.delta or wire.Delta()
    thought = delta.reasoning or delta.reasoning_content
    if thought:
        yield ThoughtDelta(thought)
    text = (delta.content if choice.delta else choice.text) or ""
    logprobs = tuple(_logprobs(choice.logprobs))
    if text or logprobs:
        yield TextDelta(text, logprobs)
    for call in delta.tool_calls or ():
        function = call.function or wire.CalledFunction()
        yield ToolCallDelta(
            index=max(call.index, 0),
            id=call.id or "",
            name=function.name or "",
            arguments=function.arguments or "",
        )


def _logprobs(given: wire.Logprobs | None) -> Iterator[TokenLogprob]:
    if given is None:
        return
    for entry in given.content or ():
        others = tuple((other.token, other.logprob) for other in entry.top_logprobs or ())
        yield TokenLogprob(entry.token, entry.logprob, others)
    alternatives = given.top_logprobs or []
    for place, (token, logprob) in enumerate(
        zip(given.tokens or (), given.token_logprobs or (), strict=False)
    ):
        listed = (alternatives[place] if place < len(alternatives) else None) or {}
        best_first = tuple(sorted(listed.items(), key=lambda entry: -entry[1]))
        yield TokenLogprob(token, 0.0 if logprob is None else logprob, best_first)
