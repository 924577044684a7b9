"""How many tokens a request brings, as far as that can be told without the tokenizer of a model."""

from collections.abc import Iterator

from homeport.domain.generation import ChatPrompt, FillPrompt, GenerationRequest, TextPrompt
from homeport.plugin.protocols import Request

BYTES_PER_TOKEN = 4
"""UTF-8 bytes of one token: the starter model's vocabulary makes 3.5 to 4.0 of technical English."""
MESSAGE_TOKENS = 4
"""What a chat template usually puts around a message."""


def likely_tokens(request: Request) -> int:
    """Estimate the tokens of a prompt, the part of an answer that is there already included."""
    texts = sum(-(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN) for text in _texts(request))
    return _given_tokens(request) + texts + MESSAGE_TOKENS * _messages(request)


def _texts(request: Request) -> Iterator[str]:
    if not isinstance(request, GenerationRequest):
        yield from (given for given in request.inputs if isinstance(given, str))
        return
    yield request.begun
    match request.prompt:
        case ChatPrompt(messages=messages, tools=tools):
            yield from (message.content for message in messages)
            yield from (call.arguments for message in messages for call in message.tool_calls)
            yield from () if tools is None else (str(tool) for tool in tools.tools)
        case TextPrompt(text=text):
            yield text
        case FillPrompt(prefix=prefix, suffix=suffix):
            yield prefix
            yield suffix


def _given_tokens(request: Request) -> int:
    if not isinstance(request, GenerationRequest):
        return sum(len(given) for given in request.inputs if not isinstance(given, str))
    match request.prompt:
        case ChatPrompt(context=context):
            return len(context)
        case TextPrompt() | FillPrompt():
            return 0
        case prompt:
            return len(prompt.tokens)


def _messages(request: Request) -> int:
    if not isinstance(request, GenerationRequest):
        return len(request.inputs)
    return len(request.prompt.messages) if isinstance(request.prompt, ChatPrompt) else 1
