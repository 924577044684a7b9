"""A question with a closed set of answers, and the prompt that asks it."""

from collections.abc import Sequence

import attrs
import msgspec

from homeport.domain.errors import InvalidRequestError
from homeport.domain.generation import ChatPrompt
from homeport.domain.messages import Message, Role

YES_OR_NO = ("Yes", "No")
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
MAX_OPTIONS = len(LETTERS)

_INTRODUCTION = "Read this, and answer the question behind it."


@attrs.frozen(kw_only=True)
class Question:
    """What is asked of a state.

    Attributes:
        instructions: In words.
        labels: The answers that are compared, each a token of its own.
        meanings: What each label stands for; an empty one speaks for itself.
    """

    instructions: str
    labels: tuple[str, ...]
    meanings: tuple[str, ...]


def yes_or_no(instructions: str, yes: str = "", no: str = "") -> Question:
    """Ask whether something is so.

    Args:
        instructions: In words.
        yes: What speaks for it.
        no: What speaks against it.
    """
    return Question(instructions=instructions, labels=YES_OR_NO, meanings=(yes, no))


def one_of(instructions: str, meanings: Sequence[str]) -> Question:
    """Ask which of at most 26 options fits.

    Raises:
        InvalidRequestError: There are too many.
    """
    if len(meanings) > MAX_OPTIONS:
        message = f"too many options, at most {MAX_OPTIONS} can be told apart, got {len(meanings)}"
        raise InvalidRequestError(message, field="questions")
    return Question(instructions=instructions, labels=LETTERS[: len(meanings)], meanings=tuple(meanings))


def described(name: str, description: str | None) -> str:
    """Name an option, and say what it is where that is told."""
    return f"{name}: {description}" if description else name


def as_text(content: object) -> str:
    """Give text as it is, and JSON as JSON."""
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()


def prompt_of(state: str, question: Question) -> ChatPrompt:
    """Ask a question of a state.

    The state comes first, so that all questions about it share what was computed of it; the answer follows
    at once, without thoughts. Whatever both say is read as text, also where it spells a special token.

    Args:
        state: What all questions are about.
        question: One of them.
    """
    meanings = [
        f"{label}: {meaning}"
        for label, meaning in zip(question.labels, question.meanings, strict=True)
        if meaning
    ]
    rule = f"Answer with one of {', '.join(question.labels)}, and nothing else."
    paragraphs = [
        _INTRODUCTION,
        state,
        f"Question: {question.instructions}",
        *(["\n".join(meanings)] if meanings else []),
        rule,
    ]
    return ChatPrompt((Message(Role.USER, "\n\n".join(paragraphs)),), thinks=False, is_plain=True)
