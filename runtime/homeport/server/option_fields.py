"""Reading the object ``options``: its names, types and ranges (wire contract, Ollama's ``api.Options``)."""

import math
from collections.abc import Mapping

import attrs

from homeport.domain.errors import InvalidRequestError, StoreError
from homeport.domain.models import ModelInfo
from homeport.server.limits import MAX_INTEGER, MAX_SEED, MAX_STOPS, at_most, within
from homeport.server.options import Options
from homeport.server.quoting import shown


@attrs.frozen
class _Range:
    low: float
    high: float = math.inf


_ANY = _Range(-math.inf)
_INTEGERS = {
    "num_predict": _Range(-2, MAX_INTEGER),
    "num_ctx": _Range(0, MAX_INTEGER),
    "top_k": _Range(-1, MAX_INTEGER),
    "repeat_last_n": _Range(-1, MAX_INTEGER),
    "seed": _Range(-MAX_SEED, MAX_SEED),
}
_FLOATS = {
    "temperature": _Range(0),
    "top_p": _Range(0, 1),
    "min_p": _Range(0, 1),
    "repeat_penalty": _Range(1e-6),
    "presence_penalty": _ANY,
    "frequency_penalty": _ANY,
}
_IGNORED_INTEGERS = ("num_keep", "num_batch", "num_thread", "num_gpu", "main_gpu", "draft_num_predict")
_TYPICAL_OFF = 1.0


def read_options(given: Mapping[str, object] | None) -> Options:
    """Read the object ``options`` of a request; unknown names are ignored.

    Raises:
        InvalidRequestError: A value has the wrong type, is out of range, or asks for what is not built.
    """
    values = {name: value for name, value in (given or {}).items() if value is not None}
    for name in _IGNORED_INTEGERS:
        _integer(name, values.get(name, 0), _ANY)
    if not isinstance(values.get("use_mmap", True), bool):
        raise _wrong_type("use_mmap", "boolean")
    if _float("typical_p", values.get("typical_p", _TYPICAL_OFF), _Range(0)) < _TYPICAL_OFF:
        message = f'option "typical_p" is not supported yet, got {shown(values["typical_p"])}'
        raise InvalidRequestError(message, field="options.typical_p")
    integers = {name: _integer(name, values[name], bounds) for name, bounds in _INTEGERS.items() if name in values}
    floats = {name: _float(name, values[name], bounds) for name, bounds in _FLOATS.items() if name in values}
    if integers.get("num_predict") == 0:
        integers["num_predict"] = -1  # Ollama generates without bound for 0 as for -1.
    stop = _stop(values["stop"]) if "stop" in values else None
    return Options(**integers, **floats, stop=stop)


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


def _integer(name: str, value: object, bounds: _Range) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(name, "integer")
    finite = within(f'option "{name}"', value, bounds.low, bounds.high, field=f"options.{name}")
    return int(finite)


def _float(name: str, value: object, bounds: _Range) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(name, "float32")
    return float(within(f'option "{name}"', value, bounds.low, bounds.high, field=f"options.{name}"))


def _stop(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong_type("stop", "array")
    if not all(isinstance(text, str) for text in value):
        raise _wrong_type("stop", "array of strings")
    at_most("options.stop", len(value), MAX_STOPS, "texts")
    return tuple(value)


def _wrong_type(name: str, kind: str) -> InvalidRequestError:
    return InvalidRequestError(f'option "{name}" must be of type {kind}', field=f"options.{name}")
