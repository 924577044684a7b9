"""How many tokens a request can take at most, and how many it likely takes."""

import json
import weakref
from typing import TYPE_CHECKING

import attrs

from homeport import ChatPrompt, FillPrompt, GenerationRequest, Message, Request, TextPrompt

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE_TOKENS = 16
"""What a template puts around a message, generously: role marks and line ends."""
PROMPT_TOKENS = 64
"""What a template puts around a conversation, generously: its begin and the turn to answer."""
BYTES_PER_LIKELY_TOKEN = 4
LIKELY_ANSWER_TOKENS = 256


@attrs.frozen(kw_only=True)
class Tokens:
    """Tokens of a request.

    Attributes:
        prompt: Of what is sent.
        answer: Of what comes back; 0 for embeddings.
    """

    prompt: int
    answer: int


class Sizes:
    """Bounds and estimates the tokens of requests; remembers the last, since routing asks once per candidate.

    A token is at least one byte of UTF-8 in every tokenizer that falls back to bytes, so bytes bound tokens.
    """

    def __init__(self) -> None:
        self._last: Callable[[], Request | None] = lambda: None
        self._prompt_tokens = 0

    def most(self, request: Request, most_answer_tokens: int) -> Tokens:
        """Bound a request's tokens.

        Args:
            request: What is asked.
            most_answer_tokens: Bound of the answer where the request has none.
        """
        if self._last() is not request:
            self._prompt_tokens = _most_prompt_tokens(request)
            self._last = weakref.ref(request)
        if not isinstance(request, GenerationRequest):
            return Tokens(prompt=self._prompt_tokens, answer=0)
        asked = request.sampling.max_tokens
        answer = most_answer_tokens if asked is None else max(asked, 0)
        return Tokens(prompt=self._prompt_tokens, answer=answer)

    def likely(self, request: Request) -> Tokens:
        """Estimate a request's tokens, to compare models by; nothing is charged by it."""
        most = self.most(request, LIKELY_ANSWER_TOKENS)
        answer = min(most.answer, LIKELY_ANSWER_TOKENS)
        return Tokens(prompt=most.prompt // BYTES_PER_LIKELY_TOKEN, answer=answer)


def bounded_request(request: Request, most_answer_tokens: int) -> Request | None:
    """Give a request whose answer is bounded; None where it is already."""
    if not isinstance(request, GenerationRequest) or request.sampling.max_tokens is not None:
        return None
    return attrs.evolve(request, sampling=attrs.evolve(request.sampling, max_tokens=most_answer_tokens))


def _most_prompt_tokens(request: Request) -> int:
    if isinstance(request, GenerationRequest):
        return _prompt_size(request) + _size(request.begun) + PROMPT_TOKENS
    return sum(_size(each) + PROMPT_TOKENS for each in request.inputs)


def _prompt_size(request: GenerationRequest) -> int:
    match request.prompt:
        case ChatPrompt() as prompt:
            return sum(map(_message_size, prompt.messages)) + _offer_size(prompt) + len(prompt.context)
        case TextPrompt(text=text):
            return _size(text)
        case FillPrompt(prefix=prefix, suffix=suffix):
            return _size(prefix) + _size(suffix)
        case ids:
            return len(ids.tokens)


def _message_size(message: Message) -> int:
    calls = sum(_size(call.name) + _size(call.arguments) + MESSAGE_TOKENS for call in message.tool_calls)
    return _size(message.content) + _size(message.thinking) + calls + MESSAGE_TOKENS


def _offer_size(prompt: ChatPrompt) -> int:
    """Count what a template may write of the tools, twice: most spell them with blanks between."""
    tools = () if prompt.tools is None else prompt.tools.tools
    return sum(2 * _size(json.dumps(attrs.asdict(tool), default=str)) + MESSAGE_TOKENS for tool in tools)


def _size(text: str | tuple[int, ...]) -> int:
    if isinstance(text, tuple) or text.isascii():
        return len(text)
    return len(text.encode("utf-8", "surrogatepass"))
