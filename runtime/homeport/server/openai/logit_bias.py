"""``logit_bias``: what is added to the logits of tokens."""

from collections.abc import Mapping

from homeport.domain.errors import InvalidRequestError
from homeport.server.limits import MAX_INTEGER, at_most, within
from homeport.server.quoting import shown

MAX_BIASES = 1024
MOST_BIAS = 100.0

_FIELD = "logit_bias"
_MOST_DIGITS = len(str(MAX_INTEGER))


def read_bias(given: Mapping[str, float | None] | None) -> tuple[tuple[int, float], ...]:
    """Read the field, which maps ids of the model's own vocabulary to numbers.

    Raises:
        InvalidRequestError: A key is no id, a value is out of range, or there are too many.
    """
    biases = {key: value for key, value in (given or {}).items() if value is not None}
    at_most(_FIELD, len(biases), MAX_BIASES, "tokens")
    return tuple(
        (_token(key), within(f"{_FIELD}.{key}", value, -MOST_BIAS, MOST_BIAS, field=_FIELD))
        for key, value in biases.items()
    )


def _token(key: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) <= _MOST_DIGITS and int(key) <= MAX_INTEGER):
        raise InvalidRequestError(f"{_FIELD} must map token ids, got {shown(key)}", field=_FIELD)
    return int(key)
