"""Formats of strings and numbers that a schema may ask for, as patterns and bounds.

Dates and times are those of RFC 3339 that every parser takes: years from 1, days that the month has, no leap
second, at most microseconds.
"""

from collections.abc import Mapping

_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_LEAP_YEAR = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    rf"|{_LEAP_YEAR}-02-29)"
)
_TIME = (
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_COUNT = "[0-9]{1,4}"
_SPAN_OF_DAYS = rf"(?:{_COUNT}D|{_COUNT}M(?:{_COUNT}D)?|{_COUNT}Y(?:{_COUNT}M(?:{_COUNT}D)?)?)"
_SPAN_OF_TIME = rf"T(?:{_COUNT}S|{_COUNT}M(?:{_COUNT}S)?|{_COUNT}H(?:{_COUNT}M(?:{_COUNT}S)?)?)"
FORMAT_PATTERNS: Mapping[str, str] = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}T{_TIME}$",
    "duration": f"^P(?:{_SPAN_OF_DAYS}(?:{_SPAN_OF_TIME})?|{_SPAN_OF_TIME}|{_COUNT}W)$",
}
"""Formats that the grammar library reads too loosely: a 29 February in every year, digits without end."""
LIBRARY_FORMATS = frozenset({"email", "hostname", "ipv4", "ipv6", "uri", "uuid"})
"""Formats that it knows."""
NUMBER_RANGES: Mapping[str, tuple[int, int] | None] = {
    **{f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32)},
    **{f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32)},
    "int64": None,
    "uint64": (0, 10**18 - 1),
    "float": None,
    "double": None,
}
"""Formats of numbers (OpenAPI) and their bounds; none where all are fine that can be written anyway."""
