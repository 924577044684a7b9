"""The settings as they are shown: value, origin, losers, secrets hidden."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from homeport.config.assignments import Assignment
from homeport.config.fields import SetValue, set_values
from homeport.config.key_path import KeyPath, dotted
from homeport.config.loading import LoadedSettings, plugin_config, plugin_variables
from homeport.config.structuring import unstructure

HIDDEN = "(hidden)"
DEFAULT_ORIGIN = "default"


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
    own = [_shown(value, loaded.assignments) for value in set_values(loaded.settings)]
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
    assignments = dict(loaded.assignments)
    for variable in plugin_variables(loaded.settings, name, cls):
        assignments[variable.dotted] = (*assignments.get(variable.dotted, ()), variable)
    for value in set_values(config, ("plugins", name)):
        yield _shown(value, assignments)


def _shown(found: SetValue, assignments: Mapping[str, tuple[Assignment, ...]]) -> ShownSetting:
    path = dotted(found.path)
    given = assignments.get(path, ())
    losers = tuple((_masked(loser.value, secret=found.secret), loser.origin) for loser in _losers(given))
    return ShownSetting(
        path=path,
        value=_masked(unstructure(found.value), secret=found.secret),
        origin=given[-1].origin if given else _inner_origin(found.path, assignments),
        overridden=losers,
    )


def _inner_origin(path: KeyPath, assignments: Mapping[str, tuple[Assignment, ...]]) -> str:
    """Find the place of what lies in an item of an array, which was given as a whole."""
    first_item = next((place for place, key in enumerate(path) if isinstance(key, int)), None)
    given = assignments.get(dotted(path[:first_item]), ()) if first_item is not None else ()
    return given[-1].inner.get(dotted(path), DEFAULT_ORIGIN) if given else DEFAULT_ORIGIN


def _losers(given: tuple[Assignment, ...]) -> tuple[Assignment, ...]:
    return given[-2::-1] if len(given) > 1 else ()


def _masked(value: object, *, secret: bool) -> object:
    return HIDDEN if secret and value is not None else value
