"""Reading the object ``options``: its names, types and ranges (Ollama's ``api.Options``)."""

import math
from collections.abc import Mapping

import attrs

from homeport.domain.errors import InvalidRequestError, StoreError
from homeport.domain.models import ModelInfo
from homeport.server.limits import LEAST_REPEAT_PENALTY, MAX_INTEGER, MAX_SEED, MAX_STOPS, at_most, within
from homeport.server.options import Options

_IGNORED_INTEGERS = ("num_keep", "num_batch", "num_thread", "num_gpu", "main_gpu", "draft_num_predict")
_UNLIMITED = -1
"""What Ollama takes ``num_predict`` 0 for, too."""


def read_options(given: Mapping[str, object] | None) -> Options:
    """Read the object ``options`` of a request; unknown names are ignored.

    Raises:
        InvalidRequestError: A value has the wrong type or is out of range.
    """
    fields = _Fields({name: value for name, value in (given or {}).items() if value is not None})
    fields.check_ignored()
    limit = fields.integer("num_predict", -2, MAX_INTEGER)
    return Options(
        num_predict=_UNLIMITED if limit == 0 else limit,
        num_ctx=fields.integer("num_ctx", 0, MAX_INTEGER),
        temperature=fields.number("temperature", 0),
        top_k=fields.integer("top_k", -1, MAX_INTEGER),
        top_p=fields.number("top_p", 0, 1),
        min_p=fields.number("min_p", 0, 1),
        typical_p=fields.number("typical_p", 0),
        repeat_last_n=fields.integer("repeat_last_n", -1, MAX_INTEGER),
        repeat_penalty=fields.number("repeat_penalty", LEAST_REPEAT_PENALTY),
        presence_penalty=fields.number("presence_penalty"),
        frequency_penalty=fields.number("frequency_penalty"),
        seed=fields.integer("seed", -MAX_SEED, MAX_SEED),
        stop=fields.texts("stop"),
    )


def model_options(model: ModelInfo) -> Options:
    """Read the defaults that a model was published with.

    Raises:
        StoreError: One of them is impossible.
    """
    try:
        return read_options(model.parameters)
    except InvalidRequestError as error:
        message = f"model {model.name!r} has an impossible PARAMETER: {error.message}"
        raise StoreError(message, hint=f"Pull it again: homeport pull {model.name}") from error


@attrs.frozen
class _Fields:
    """The values that were given, read by name and type."""

    values: Mapping[str, object]

    def integer(self, name: str, low: float = -math.inf, high: float = math.inf) -> int | None:
        """Read an integer; a fraction is cut off."""
        number = self._number(name, "integer")
        return None if number is None else int(_within(name, number, low, high))

    def number(self, name: str, low: float = -math.inf, high: float = math.inf) -> float | None:
        number = self._number(name, "float32")
        return None if number is None else float(_within(name, number, low, high))

    def texts(self, name: str) -> tuple[str, ...] | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            raise _wrong_type(name, "array")
        if not all(isinstance(text, str) for text in value):
            raise _wrong_type(name, "array of strings")
        at_most(f"options.{name}", len(value), MAX_STOPS, "texts")
        return tuple(value)

    def check_ignored(self) -> None:
        """Check the types of what has no effect here."""
        for name in _IGNORED_INTEGERS:
            self.integer(name)
        if not isinstance(self.values.get("use_mmap", True), bool):
            raise _wrong_type("use_mmap", "boolean")

    def _number(self, name: str, kind: str) -> int | float | None:
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong_type(name, kind)
        return value


def _within(name: str, value: float, low: float, high: float) -> float:
    return within(f'option "{name}"', value, low, high, field=f"options.{name}")


def _wrong_type(name: str, kind: str) -> InvalidRequestError:
    return InvalidRequestError(f'option "{name}" must be of type {kind}', field=f"options.{name}")
