"""Reading the questions of a request one by one, so that all bad ones are named at once."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from homeport.domain.errors import InvalidRequestError

ReadT = TypeVar("ReadT")

_JSON_TYPES = {"NoneType": "null", "list": "array", "dict": "object"}
"""What msgspec calls by Python's names where it looks for a tag."""


def read_each(sent: Iterable[tuple[str, object]], read: Callable[[object], ReadT]) -> list[ReadT]:
    """Read questions.

    Args:
        sent: Each with what the error calls it.
        read: Reads one; raises what is wrong with it.

    Raises:
        InvalidRequestError: Some are bad; names all of them.
    """
    found: list[ReadT] = []
    problems: list[str] = []
    for name, value in sent:
        try:
            found.append(read(value))
        except msgspec.ValidationError as error:
            problems.append(f"{name}: {_plain(str(error))}")
        except InvalidRequestError as error:
            problems.append(f"{name}: {error.message}")
    if problems:
        raise InvalidRequestError(f"invalid questions: {'; '.join(problems)}", field="questions")
    return found


def _plain(problem: str) -> str:
    """Put msgspec's message into words like those of other errors."""
    text = problem.replace("`$.", "`").replace(" - at `", " at `")
    for name, known in _JSON_TYPES.items():
        text = text.replace(f"got `{name}`", f"got `{known}`")
    text = text.replace("`", "")
    return text[:1].lower() + text[1:]
