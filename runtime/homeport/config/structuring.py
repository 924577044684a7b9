"""Plain values to attrs classes, with errors that name the path, the value and what was expected."""

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import attrs
from cattrs import Converter, transform_error
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError
from cattrs.gen import make_dict_structure_fn, override

from homeport.domain.errors import ConfigError

T = TypeVar("T")

_EXPECTED = {int: "int", float: "float", str: "str", bool: "bool"}


def structure(
    cls: type[T],
    value: object,
    *,
    path: str,
    origins: Mapping[str, str] | None = None,
    secrets: Collection[str] = (),
) -> T:
    """Build an attrs class from plain values.

    Args:
        cls: The class; keys it does not have are refused.
        value: Mappings, lists and scalars.
        path: Where it stands in the whole tree, ``$.plugins.onnx-cpu``.
        origins: Place of each value by its dotted path, for messages.
        secrets: Dotted paths of values that no message may show.

    Raises:
        ConfigError: One line per fault.
    """
    try:
        return _converter().structure(value, cls)
    except (ClassValidationError, IterableValidationError, TypeError, ValueError) as error:
        lines = transform_error(error, path=path, format_exception=_explain)
        raise ConfigError("\n".join(_arrange(line, origins or {}, secrets) for line in lines)) from error


def unstructure(value: object) -> Any:  # noqa: ANN401
    """Turn an attrs value into plain mappings, lists and scalars."""
    return _converter().unstructure(value)


def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    for kind in (int, bool, str):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(Path, lambda value, _: Path(_exactly(value, str)).expanduser())
    converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _texts)
    converter.register_structure_hook_func(lambda kind: kind == (str | float), _text_or_number)
    converter.register_structure_hook_factory(attrs.has, _checking)
    converter.register_unstructure_hook(Path, str)
    return converter


def _checking(cls: type, converter: Converter) -> Callable[[Any, Any], Any]:
    """Structure a class so that a value outside its setting's range is a fault of that setting."""

    def checked(check: Callable[[Any], None]) -> Callable[[Any, Any], Any]:
        def structured(value: Any, kind: Any) -> Any:  # noqa: ANN401
            found = converter.structure(value, kind)
            check(found)
            return found

        return structured

    checks = {field.name: field.metadata.get("check") for field in attrs.fields(cls)}
    hooks: dict[str, Any] = {
        name: override(struct_hook=checked(check)) for name, check in checks.items() if check
    }
    return make_dict_structure_fn(cls, converter, **hooks)


def _exactly(value: Any, kind: Any) -> Any:  # noqa: ANN401 - cattrs hooks take anything
    if type(value) is not kind:
        message = f"expected {_EXPECTED[kind]}, got {value!r}"
        raise TypeError(message)
    return value


def _number(value: Any, _: Any) -> float:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"expected float, got {value!r}"
        raise TypeError(message)
    return float(value)


def _text_or_number(value: Any, _: Any) -> str | float:  # noqa: ANN401
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"expected str or float, got {value!r}"
        raise TypeError(message)
    return float(value)


def _texts(value: Any, _: Any) -> tuple[str, ...]:  # noqa: ANN401
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        message = f"expected list of str, got {value!r}"
        raise TypeError(message)
    return tuple(value)


def _explain(error: BaseException, _: type | None) -> str:
    if isinstance(error, ForbiddenExtraKeysError):
        return "; ".join(_explain_key(key, error.cl) for key in sorted(error.extra_fields))
    return str(error.args[0]) if error.args else str(error)


def _explain_key(key: str, cls: type) -> str:
    known = [field.name for field in attrs.fields(cls)]
    near = get_close_matches(key, known, n=1)
    return f"unknown key {key!r}; " + (f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}")


def _arrange(line: str, origins: Mapping[str, str], secrets: Collection[str]) -> str:
    """Turn cattrs' ``message @ path`` into ``path: message (origin)``."""
    message, _, where = line.rpartition(" @ ")
    inside = where.removeprefix("$.")
    if inside in secrets:
        message, _, _ = message.partition(", got ")
    candidates = [inside, *(f"{inside}.{word}" for word in message.split("'")[1:2])]
    origin = next((origins[name] for name in candidates if name in origins), "")
    return f"{where}: {message}" + (f" ({origin})" if origin else "")
