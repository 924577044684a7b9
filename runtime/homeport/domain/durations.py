"""Durations as Go writes them, which is how Ollama's users do: ``5m``, ``1h30m``, ``300ms``, ``-1m``.

Format and error texts: https://pkg.go.dev/time#ParseDuration.
"""

import math
import re

from homeport.domain.errors import InvalidRequestError

_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TERM = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)(?P<unit>[^\d.]*)", re.ASCII)
_MOST_SECONDS = 2**63 / 1e9
"""Go keeps durations in 64 bits of nanoseconds, about 292 years."""


def parse_duration(text: str, *, field: str | None = None) -> float:
    """Read a duration in seconds, negative ones too.

    Raises:
        InvalidRequestError: With Go's text: a unit is missing or unknown, or it is no duration.
    """
    terms = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
    seconds = 0.0 if terms == "0" else _sum(terms, text, field)
    return -seconds if text.startswith("-") else seconds


def keep_alive_seconds(value: str | float, *, field: str = "keep_alive") -> float:
    """Read a keep-alive: a number of seconds or a duration; negative is for ever.

    Returns:
        Seconds, or infinity.

    Raises:
        InvalidRequestError: It is neither.
    """
    seconds = parse_duration(value, field=field) if isinstance(value, str) else float(value)
    if math.isnan(seconds):
        message = f"{field} must be a number or a duration, got {value!r}"
        raise InvalidRequestError(message, field=field)
    return math.inf if seconds < 0 or seconds >= _MOST_SECONDS else seconds


def _sum(terms: str, text: str, field: str | None) -> float:
    seconds, place = 0.0, 0
    while place < len(terms):
        term = _TERM.match(terms, place)
        if term is None:
            break
        if not term["unit"]:
            raise InvalidRequestError(f'time: missing unit in duration "{text}"', field=field)
        if term["unit"] not in _UNIT_SECONDS:
            message = f'time: unknown unit "{term["unit"]}" in duration "{text}"'
            raise InvalidRequestError(message, field=field)
        seconds += float(term["number"]) * _UNIT_SECONDS[term["unit"]]
        place = term.end()
    if place < len(terms) or not terms or seconds >= _MOST_SECONDS:
        raise InvalidRequestError(f'time: invalid duration "{text}"', field=field)
    return seconds
