"""Values of a request as error messages show them."""

import json

_SHOWN_CHARACTERS = 100


def quoted(text: str) -> str:
    """Put a text in double quotes, shortened, with control characters escaped."""
    return json.dumps(_shortened(text), ensure_ascii=False)


def shown(value: object) -> str:
    """Render any JSON value, shortened."""
    return quoted(value) if isinstance(value, str) else _shortened(json.dumps(value, ensure_ascii=False))


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
