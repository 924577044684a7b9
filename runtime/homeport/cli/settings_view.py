"""The settings as they are shown: value, origin, losers, secrets hidden."""

import json
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any

import attrs

from homeport.config.assignments import Assignment, setting_fields
from homeport.config.loading import LoadedSettings, plugin_config
from homeport.config.structuring import unstructure

HIDDEN = "(hidden)"
DEFAULT_ORIGIN = "default"

_PLUGIN_TABLES = ("plugins", "tables")


@attrs.frozen(kw_only=True)
class ShownSetting:
    """One setting.

    Attributes:
        path: As a TOML key, ``server.port``.
        value: Its value, as TOML or JSON would give it.
        origin: Where it was set.
        overridden: Values that a stronger one beats, the strongest first, each with its origin.
    """

    path: str
    value: Any
    origin: str
    overridden: tuple[tuple[Any, str], ...] = ()

    @property
    def text(self) -> str:
        """The value on one line."""
        return shown_value(self.value)


def shown_settings(loaded: LoadedSettings, plugin_classes: Mapping[str, type]) -> tuple[ShownSetting, ...]:
    """List all settings, then those of plugins by name.

    Raises:
        ConfigError: A plugin's table is wrong.
    """
    own = [
        _shown(path, field, attrgetter(".".join(path))(loaded.settings), loaded)
        for path, field in setting_fields()
        if path != _PLUGIN_TABLES
    ]
    of_plugins = [
        setting
        for name, cls in sorted(plugin_classes.items())
        for setting in _plugin_settings(name, cls, loaded)
    ]
    return (*own, *of_plugins)


def shown_value(value: object) -> str:
    """Write a value on one line, a text without quotes."""
    if value is None:
        return "(unset)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plugin_settings(name: str, cls: type, loaded: LoadedSettings) -> Iterator[ShownSetting]:
    config = plugin_config(loaded.settings, name, cls, loaded.origins)
    for path, field in setting_fields(cls):
        value = attrgetter(".".join(path))(config)
        yield _shown(("plugins", name, *path), field, value, loaded)


def _shown(
    path: tuple[str, ...], field: "attrs.Attribute[Any]", value: object, loaded: LoadedSettings
) -> ShownSetting:
    secret = bool(field.metadata.get("secret"))
    given = loaded.assignments.get(".".join(path), ())
    losers = tuple((_masked(loser.value, secret=secret), loser.origin) for loser in _losers(given))
    return ShownSetting(
        path=".".join(path),
        value=_masked(unstructure(value), secret=secret),
        origin=given[-1].origin if given else DEFAULT_ORIGIN,
        overridden=losers,
    )


def _losers(given: tuple[Assignment, ...]) -> tuple[Assignment, ...]:
    return given[-2::-1] if len(given) > 1 else ()


def _masked(value: object, *, secret: bool) -> object:
    return HIDDEN if secret and value is not None else value
