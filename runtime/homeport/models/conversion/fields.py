"""Typed access to the metadata of a GGUF file."""

import math
from collections.abc import Mapping

from homeport.domain.errors import PullError
from homeport.models.conversion.gguf_file import Field, Scalar

_MAX_COUNT = 2**31 - 1


class Fields:
    """Fields of a file, read by what they must be.

    Args:
        fields: All of them.
        prefix: Put before every key.
    """

    def __init__(self, fields: Mapping[str, Field], prefix: str = "") -> None:
        self._fields = fields
        self._prefix = prefix

    def below(self, prefix: str) -> "Fields":
        """Give access to the fields whose keys begin with a prefix."""
        return Fields(self._fields, self._prefix + prefix)

    def has(self, key: str) -> bool:
        """Say whether a field is there."""
        return self._prefix + key in self._fields

    def count(self, key: str, default: int | None = None) -> int:
        """Give a positive whole number.

        Raises:
            PullError: It is something else, or missing without a default.
        """
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MAX_COUNT:
            raise self._wrong(key, value, "a positive whole number")
        return value

    def token(self, key: str, vocabulary: int) -> int | None:
        """Give a token id below the size of the vocabulary; None where the field is missing.

        Raises:
            PullError: It is something else.
        """
        if not self.has(key):
            return None
        value = self._get(key, None)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < vocabulary:
            raise self._wrong(key, value, f"a token id below {vocabulary}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Give a finite number.

        Raises:
            PullError: It is something else, or missing without a default.
        """
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._wrong(key, value, "a finite number")
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """Give a boolean.

        Raises:
            PullError: It is something else.
        """
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """Give a text.

        Raises:
            PullError: It is something else, or missing without a default.
        """
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, value, "a text")
        return value

    def texts(self, key: str) -> list[str]:
        """Give a list of texts.

        Raises:
            PullError: It is something else.
        """
        value = self._list(key)
        if not all(isinstance(item, str) for item in value):
            raise self._wrong(key, value, "a list of texts")
        return [str(item) for item in value]

    def numbers(self, key: str) -> list[float]:
        """Give a list of numbers.

        Raises:
            PullError: It is something else.
        """
        value = self._list(key)
        if not all(isinstance(item, int | float) and math.isfinite(item) for item in value):
            raise self._wrong(key, value, "a list of finite numbers")
        return [float(item) for item in value]

    def _list(self, key: str) -> list[Scalar]:
        value = self._get(key, None)
        if not isinstance(value, list):
            raise self._wrong(key, value, "a list")
        return value

    def _get(self, key: str, default: Field | None) -> Field:
        value = self._fields.get(self._prefix + key, default)
        if value is None:
            raise PullError(f"the GGUF file lacks the field {self._prefix}{key}")
        return value

    def _wrong(self, key: str, value: object, expected: str) -> PullError:
        return PullError(f"the GGUF file has {self._prefix}{key} = {value!r:.80}, expected {expected}")
