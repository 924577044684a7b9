"""Times as Ollama writes them."""

from datetime import UTC, datetime, timedelta

_FOREVER = timedelta(days=36_525)


def created_now() -> str:
    """Name the moment: RFC 3339 in UTC with six digits and ``Z``."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def dated(moment: datetime) -> str:
    """Write a date: RFC 3339 in UTC with six digits and ``+00:00``."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def expiry(moment: datetime | None) -> datetime:
    """Give the date of an expiry; for ever is a hundred years ahead."""
    return datetime.now(UTC) + _FOREVER if moment is None else moment
