"""What a setting may hold beyond its type: each check refuses a value by saying what is allowed."""

import math
from collections.abc import Callable, Iterable

from homeport.domain.durations import keep_alive_seconds
from homeport.domain.errors import InvalidRequestError
from homeport.domain.memory_amount import MemoryAmount
from homeport.domain.quantisation import Quantisation

Check = Callable[..., None]
"""Called with a value; raises ``ValueError`` with what it must be and what it is."""


def between(least: int, most: int) -> Check:
    """Allow whole numbers from one to another, both included."""

    def check(value: int) -> None:
        if not least <= value <= most:
            raise ValueError(f"must be {least} to {most}, got {value!r}")

    return check


def at_least(least: int, *, or_zero: bool = False) -> Check:
    """Allow whole numbers from one on, and 0 where it stands for the default."""
    allowed = f"0 or at least {least}" if or_zero else f"at least {least}"

    def check(value: int) -> None:
        if value < least and not (or_zero and value == 0):
            raise ValueError(f"must be {allowed}, got {value!r}")

    return check


def memory_amount(value: str | int) -> None:
    """Allow bytes and shares."""
    MemoryAmount.parse(value)


def quantisation(value: str) -> None:
    """Allow what a pull can make of weights."""
    if value not in set(Quantisation):
        raise ValueError(f"must be one of {', '.join(Quantisation)}, got {value!r}")


def share(value: float) -> None:
    """Allow a part of a whole."""
    if not 0 <= value <= 1:
        raise ValueError(f"must be 0 to 1, got {value!r}")


def one_of(allowed: Iterable[str | int]) -> Check:
    """Allow some words or numbers."""
    choices = tuple(allowed)

    def check(value: str | int) -> None:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(map(str, choices))}, got {value!r}")

    return check


def positive_seconds(value: float) -> None:
    """Allow a time that passes and ends."""
    if not 0 < value < math.inf:
        raise ValueError(f"must be a finite number of seconds above 0, got {value!r}")


def keep_alive(value: str | float) -> None:
    """Allow what a request may ask for."""
    try:
        keep_alive_seconds(value)
    except InvalidRequestError as error:
        message = f'must be a number of seconds or a duration such as "5m" or "1h30m", got {value!r}'
        raise ValueError(message) from error
