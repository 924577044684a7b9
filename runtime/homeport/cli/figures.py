"""Sizes, durations and moments in the words of Ollama's command line."""

from datetime import datetime, timedelta

_BYTES_PER_UNIT = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3))
_NANOSECONDS_PER_UNIT = (("ms", 10**6), ("µs", 10**3))
_NANOSECONDS_PER_SECOND = 10**9
_WHOLE_UNITS_FROM = 10
"""From here on a size is shown without decimals."""

_FOREVER = timedelta(days=20 * 365)
"""A model that leaves later than this stays for ever."""

_HOURS_PER_DAY = 24
_HOURS_PER_WEEK = 7 * _HOURS_PER_DAY
_HOURS_PER_MONTH = 30 * _HOURS_PER_DAY
_HOURS_PER_YEAR = 365 * _HOURS_PER_DAY
_COUNTED_HOURS = (
    # While below two of the next unit, count in this one.
    (2 * _HOURS_PER_DAY, 1, "hours"),
    (2 * _HOURS_PER_WEEK, _HOURS_PER_DAY, "days"),
    (2 * _HOURS_PER_MONTH, _HOURS_PER_WEEK, "weeks"),
    (2 * _HOURS_PER_YEAR, _HOURS_PER_MONTH, "months"),
)


def size(byte_count: int) -> str:
    """Write a number of bytes in decimal units: ``91 MB``, ``4.7 GB``."""
    for unit, scale in _BYTES_PER_UNIT:
        if byte_count >= scale:
            value = byte_count / scale
            whole = value >= _WHOLE_UNITS_FROM or value == int(value)
            return f"{int(value)} {unit}" if whole else f"{value:.1f} {unit}"
    return f"{byte_count} B"


def parameter_count(count: int) -> str:
    """Write a number of weights: ``134.52M``, ``1.1B``."""
    for unit, scale in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if count >= scale:
            return f"{count / scale:.2f}".rstrip("0").rstrip(".") + unit
    return str(count)


def duration(nanoseconds: int) -> str:
    """Write a duration as Go does: ``1m2.5s``, ``101.397084ms``, ``740ns``."""
    if nanoseconds < _NANOSECONDS_PER_SECOND:
        for unit, scale in _NANOSECONDS_PER_UNIT:
            if nanoseconds >= scale:
                return _decimal(nanoseconds, scale) + unit
        return f"{nanoseconds}ns" if nanoseconds else "0s"
    minutes, rest = divmod(nanoseconds, 60 * _NANOSECONDS_PER_SECOND)
    hours, minutes = divmod(minutes, 60)
    leading = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{leading}{_decimal(rest, _NANOSECONDS_PER_SECOND)}s"


def moment(when: datetime, *, now: datetime) -> str:
    """Write how far a moment is from now: ``3 hours ago``, ``4 minutes from now``, ``Forever``."""
    ahead = when - now
    if ahead > _FOREVER:
        return "Forever"
    if ahead > timedelta(0):
        return f"{_span(ahead)} from now"
    return f"{_span(-ahead)} ago"


def _decimal(value: int, scale: int) -> str:
    """Divide by a power of ten without rounding, and drop trailing zeros."""
    whole, fraction = divmod(value, scale)
    digits = str(fraction).zfill(len(str(scale)) - 1).rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def _span(delta: timedelta) -> str:
    seconds = int(delta.total_seconds())
    minutes = seconds // 60
    if seconds < 1:
        return "Less than a second"
    if minutes < 1:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    if minutes < 60:  # noqa: PLR2004 - minutes per hour
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    return _hours(delta)


def _hours(delta: timedelta) -> str:
    hours = round(delta.total_seconds() / 3600)
    if hours == 1:
        return "About an hour"
    for limit, per_unit, word in _COUNTED_HOURS:
        if hours < limit:
            return f"{hours // per_unit} {word}"
    return f"{hours // _HOURS_PER_YEAR} years"
