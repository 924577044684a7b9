"""What was found in one place of a project."""

import re
from enum import StrEnum

import attrs

_USER = re.compile(r"(://)[^/@\s]+@")
_SHOWN_CHARACTERS = 200


class State(StrEnum):
    """What has to be done about it."""

    READY = "ready"
    """``migrate apply`` does it, or nothing has to be done."""
    ATTENTION = "attention"
    """Somebody has to look."""


@attrs.frozen(kw_only=True)
class Finding:
    """One place.

    Attributes:
        path: Of the file, relative to the root; of a model its name.
        line: From 1; 0 where there is none.
        setting: Key or variable; empty where there is none.
        value: What stands there, without passwords.
        state: What has to be done.
        reason: Why, and how, in a sentence.
    """

    path: str
    line: int = 0
    setting: str = ""
    value: str = ""
    state: State
    reason: str


@attrs.frozen(kw_only=True)
class Edit:
    """One replacement in a file; positions count bytes."""

    start: int
    end: int
    old: str
    new: str
    line: int
    setting: str


def shown(value: str) -> str:
    """Shorten a value, and take passwords out of its addresses."""
    return _USER.sub(r"\1***@", value.encode("utf-8", "backslashreplace").decode())[:_SHOWN_CHARACTERS]
