"""Values of a request as error messages show them."""

import json

_SHOWN_CHARACTERS = 100


def quoted(text: str) -> str:
    """Put a text in double quotes, shortened, with control characters escaped."""
    return json.dumps(shortened(text), ensure_ascii=False)


def shown(value: object) -> str:
    """Render any JSON value, shortened."""
    return quoted(value) if isinstance(value, str) else shortened(json.dumps(value, ensure_ascii=False))


def shortened(text: str) -> str:
    """Cut a text that is too long to be read."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
