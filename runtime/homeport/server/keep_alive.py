"""The field ``keep_alive``: seconds, or a duration as Go writes it."""

from homeport.domain.durations import keep_alive_seconds
from homeport.domain.errors import InvalidRequestError
from homeport.server.quoting import quoted, shown

_MAX_CHARACTERS = 64
"""Longer texts are no durations, and are not worth parsing."""


def read_keep_alive(value: object) -> float | None:
    """Read the field.

    Returns:
        Seconds, infinity for ever, None where it is not given.

    Raises:
        InvalidRequestError: It is neither a number nor a duration.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        message = f'keep_alive must be a number of seconds or a duration such as "5m", got {shown(value)}'
        raise InvalidRequestError(message, field="keep_alive")
    if isinstance(value, str) and len(value) > _MAX_CHARACTERS:
        raise InvalidRequestError(f"time: invalid duration {quoted(value)}", field="keep_alive")
    try:
        return keep_alive_seconds(value)
    except OverflowError:
        return float("inf")
