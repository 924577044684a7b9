"""Whether and how hard a model thinks before it answers, as a user writes it."""

LEVELS = ("low", "medium", "high", "max")


def parse_think(text: str) -> str | bool:
    """Read ``true``, ``false`` or a level.

    Raises:
        ValueError: It is none of these.
    """
    wanted = text.strip().lower()
    if wanted in {"true", "false"}:
        return wanted == "true"
    if wanted in LEVELS:
        return wanted
    raise ValueError(f"expected true, false, {', '.join(LEVELS)}, got {text!r:.80}")
