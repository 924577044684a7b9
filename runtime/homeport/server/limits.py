"""Bounds of what a request may ask for."""

import math
import sys
from collections.abc import Collection
from typing import TypeVar

from homeport.domain.errors import InvalidRequestError
from homeport.server.quoting import shown

MAX_INTEGER = 2**31 - 1
MAX_SEED = 2**63 - 1
MAX_TOP_LOGPROBS = 20
MAX_STOPS = 64
MAX_EMBEDDING_INPUTS = 2048
MAX_DIMENSIONS = 65_536
LEAST_REPEAT_PENALTY = 1e-6
MAX_CHOICES = 64
"""Sequences that one request may generate: prompts times ``n``."""

NumberT = TypeVar("NumberT", int, float)


def within(
    label: str, value: NumberT, low: float, high: float = math.inf, *, field: str | None = None
) -> NumberT:
    """Pass a number on if it lies in [low, high].

    Args:
        label: How the message calls it.
        value: The number.
        low: Least allowed value.
        high: Largest allowed value; infinity is no bound, yet never allowed itself.
        field: Request field at fault; the label where not given.

    Raises:
        InvalidRequestError: It is out of range, infinite or not a number.
    """
    if max(low, -sys.float_info.max) <= value <= min(high, sys.float_info.max):
        return value
    raise InvalidRequestError(
        f"{label} must be {_bounds(low, high)}, got {shown(value)}", field=field or label
    )


def bounded(field: str, value: NumberT | None, low: float, high: float = math.inf) -> NumberT | None:
    """Check a number where it is given.

    Raises:
        InvalidRequestError: It is out of range.
    """
    return None if value is None else within(field, value, low, high)


def _bounds(low: float, high: float) -> str:
    if math.isinf(low):
        return "a finite number"
    return f"at least {low}" if math.isinf(high) else f"between {low} and {high}"


def at_most(field: str, count: int, bound: int, noun: str) -> None:
    """Check the length of a list.

    Raises:
        InvalidRequestError: It holds more than ``bound``.
    """
    if count > bound:
        raise InvalidRequestError(f"{field} must hold at most {bound} {noun}, got {count}", field=field)


def check_top_logprobs(value: int | None) -> None:
    """Check the number of alternatives that both dialects bound alike.

    Raises:
        InvalidRequestError: It is out of range.
    """
    if value is not None and not 0 <= value <= MAX_TOP_LOGPROBS:
        message = f"top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}"
        raise InvalidRequestError(message, field="top_logprobs")


def check_token_ids(field: str, tokens: Collection[int]) -> None:
    """Check that ids can be in a vocabulary at all; the model knows which are in its own.

    Raises:
        InvalidRequestError: One is negative or too large; names its place.
    """
    if not tokens or (min(tokens) >= 0 and max(tokens) <= MAX_INTEGER):
        return
    for place, token in enumerate(tokens):
        within(f"{field}[{place}]", token, 0, MAX_INTEGER, field=field)
