"""What a request says, cut to what a router needs."""

from homeport import ChatPrompt, EmbeddingRequest, FillPrompt, GenerationRequest, Request, Role, TextPrompt

READ_CHARACTERS = 2000
"""So much of a prompt decides task and complexity: three fifths from its start, the rest from its end."""
_START_SHARE = 0.6
_SEARCHED_CHARACTERS = 1024**2
"""So much of a conversation is searched for the words of rules, half from either end."""
_CHARACTERS_PER_TOKEN = 4
_WIDE_CHARACTERS_PER_TOKEN = 1.5
"""Of texts that are not ASCII: a Chinese character is about a token, Latin letters with accents are two."""


def question(request: Request) -> str:
    """Give the text that says what is wanted: what the user said last, at most ``READ_CHARACTERS``."""
    text = next((text for role, text in reversed(_parts(request)) if role is Role.USER and text.strip()), "")
    return ends(text, READ_CHARACTERS, _START_SHARE)


def searched(request: Request) -> str:
    """Give the text of a request, in lower case, a line for each part."""
    return ends("\n".join(text for _, text in _parts(request)), _SEARCHED_CHARACTERS).lower()


def about_tokens(request: Request) -> int:
    """Guess the length of a prompt in tokens; ids are counted."""
    ids = _ids(request)
    texts = (text for _, text in _parts(request))
    return ids + sum(
        int(len(text) / (_CHARACTERS_PER_TOKEN if text.isascii() else _WIDE_CHARACTERS_PER_TOKEN)) + 1
        for text in texts
    )


def ends(text: str, most: int, start_share: float = 0.5) -> str:
    """Keep the beginning and the end of a long text."""
    if len(text) <= most:
        return text
    start = int(most * start_share)
    return f"{text[:start]}\n{text[start + 1 - most :]}"


def _parts(request: Request) -> list[tuple[Role, str]]:
    if isinstance(request, EmbeddingRequest):
        return [(Role.USER, text) for text in request.inputs if isinstance(text, str)]
    match request.prompt:
        case ChatPrompt(messages):
            return [(message.role, message.content) for message in messages]
        case TextPrompt(text):
            return [(Role.USER, text)]
        case FillPrompt(prefix, suffix):
            return [(Role.USER, f"{prefix}\n{suffix}")]
        case _:
            return []


def _ids(request: Request) -> int:
    if isinstance(request, GenerationRequest):
        match request.prompt:
            case ChatPrompt(_, context):
                return len(context)
            case TextPrompt() | FillPrompt():
                return 0
            case prompt:
                return len(prompt.tokens)
    return sum(len(ids) for ids in request.inputs if not isinstance(ids, str))
