"""What can be asked of the ledger."""

from collections.abc import Mapping
from datetime import date

import attrs

from homeport import InvalidRequestError

GROUPS = ("day", "model", "agent", "job", "key", "tag", "class")
_PARAMETERS = ("by", "since", "until")


@attrs.frozen(kw_only=True)
class Question:
    """What is asked of the ledger.

    Attributes:
        by: What rows are made of.
        since: First day.
        until: Last day, which belongs to it.
    """

    by: str = "day"
    since: date = date.min
    until: date = date.max

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> "Question":
        """Read it from parameters.

        Raises:
            InvalidRequestError: Naming the parameter, its value, and what is allowed.
        """
        for name in given:
            if name not in _PARAMETERS:
                allowed = ", ".join(_PARAMETERS)
                raise InvalidRequestError(f"unknown parameter {name[:100]!r}; known: {allowed}", field=name)
        by = given.get("by", "day")
        if by not in GROUPS:
            raise InvalidRequestError(f"by must be one of {', '.join(GROUPS)}, got {by[:100]!r}", field="by")
        days = {name: _day(name, given[name]) for name in ("since", "until") if name in given}
        return cls(by=by, **days)


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"{name} must be a day such as 2026-11-21, got {text[:100]!r}"
        raise InvalidRequestError(message, field=name) from None
