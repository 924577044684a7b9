"""What form an answer shall have, as a user writes it."""

import json
from collections.abc import Mapping
from pathlib import Path

AnswerForm = str | Mapping[str, object]

_MAX_SCHEMA_BYTES = 1024**2


def parse_form(text: str) -> AnswerForm:
    """Read ``json``, a JSON Schema, or ``@FILE`` that holds one.

    Raises:
        ValueError: It is none of these; says what is wrong with it.
    """
    if text.strip().lower() == "json":
        return "json"
    source = text
    if text.startswith("@"):
        try:
            with Path(text[1:]).expanduser().open("rb") as file:
                source = file.read(_MAX_SCHEMA_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot read the JSON Schema {text[1:]!r}: {error}") from error
    try:
        schema = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"expected json, a JSON Schema or @FILE that holds one, got {text!r:.80} ({error})"
        ) from error
    if not isinstance(schema, dict):
        raise ValueError(f"a JSON Schema is an object here, got {text!r:.80}")  # noqa: TRY004 - one error for all
    return schema
