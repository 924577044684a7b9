"""What a check found."""

from enum import StrEnum

import attrs


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Something works less well than it could."""
    FAILED = "failed"
    """Something will not work."""


@attrs.frozen(kw_only=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: What was looked at.
        state: How bad it is.
        detail: What was seen, with figures.
        fix: How to mend it; empty where all is well.
    """

    check: str
    state: State
    detail: str
    fix: str = ""


def ok(check: str, detail: str) -> Finding:
    """All is well."""
    return Finding(check=check, state=State.OK, detail=detail)


def warning(check: str, detail: str, *, fix: str) -> Finding:
    """Something works less well than it could."""
    return Finding(check=check, state=State.WARNING, detail=detail, fix=fix)


def failed(check: str, detail: str, *, fix: str) -> Finding:
    """Something will not work."""
    return Finding(check=check, state=State.FAILED, detail=detail, fix=fix)
