"""How one setting is declared: its default, a help line, the variables that set it, and its range."""

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from homeport.config.key_path import KeyPath
from homeport.config.limits import Check
from homeport.domain.errors import ConfigError

Doubts = Callable[[Any], Iterable[tuple[KeyPath, str]]]


def setting(
    default: Any,  # noqa: ANN401
    summary: str,
    *,
    env: tuple[str, ...] = (),
    secret: bool = False,
    check: Check | None = None,
    doubts: Doubts | None = None,
    zero_is_default: bool = False,
    builds: bool = True,
) -> Any:  # noqa: ANN401
    """Declare one setting, of homeport or of a plugin, in an ``attrs`` class.

    Args:
        default: Its value when nobody sets it; a callable is called.
        summary: One line for ``config show`` and the JSON Schema.
        env: Environment variables that set it, strongest first; they are stronger than the file. Each of
            homeport's own settings also has ``HOMEPORT_<SECTION>_<NAME>``. Tables have none.
        secret: Never printed.
        check: Called with the value; raises ``ValueError`` with what it must be and what it is.
        doubts: Says what is odd about a value that may still be used; told by ``config check`` and
            ``doctor``. Gives the path within the value, ``()`` for the whole, and a sentence.
        zero_is_default: 0 becomes the default.
        builds: Whether another value makes other builds of a model, where the plugin is a backend that has
            a ``ModelBuilder``.
    """
    metadata = {
        "summary": summary,
        "env": env,
        "secret": secret,
        "check": check,
        "doubts": doubts,
        "builds": builds,
    }
    if callable(default):
        return attrs.field(factory=default, metadata=metadata)
    return attrs.field(
        default=default,
        metadata=metadata,
        converter=(lambda value: value or default) if zero_is_default else None,
        validator=None if check is None else _checked,
    )


def inner_setting() -> Any:  # noqa: ANN401
    """Declare a mapping that the loader fills and nobody can set, show or describe."""
    return attrs.field(factory=dict, repr=False, metadata={"inner": True})


def _checked(_instance: object, field: "attrs.Attribute[Any]", value: object) -> None:
    try:
        field.metadata["check"](value)
    except ValueError as error:
        raise ConfigError(f"{field.name}: {error}") from error
