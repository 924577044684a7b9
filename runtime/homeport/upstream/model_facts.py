"""What other servers tell of models, and of texts, in our form."""

from datetime import UTC, datetime

EPOCH = datetime.fromtimestamp(0, UTC)
"""For a time that nobody tells."""

_BYTES_PER_TOKEN = 4
"""English text has about so many."""


def tagged(name: str) -> str:
    """Write a model name with its tag."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def read_moment(told: str | float | None) -> datetime:
    """Read a time as ISO 8601 or in seconds since 1970; what is neither is 1970."""
    try:
        if not isinstance(told, str):
            return datetime.fromtimestamp(told or 0, UTC)
        moment = datetime.fromisoformat(told)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return EPOCH


def answer_tokens(pieces: int, size_bytes: int) -> int:
    """Guess how many tokens an answer had whose server does not count: a piece may hold many.

    Args:
        pieces: In which it came.
        size_bytes: Of all its text.
    """
    return max(pieces, -(-size_bytes // _BYTES_PER_TOKEN))


def estimated_tokens(text: object) -> int:
    """Guess how many tokens a text has, at least one, where a server does not count."""
    return len(str(text).encode(errors="replace")) // _BYTES_PER_TOKEN + 1
