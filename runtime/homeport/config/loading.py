"""From defaults, file, environment and flags to one tree: defaults < file < environment < flags."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import platformdirs

from homeport.config.assignments import Assignment
from homeport.config.consistency import objections
from homeport.config.environment import from_environment, from_plugin_environment
from homeport.config.files import FileSettings, read_files
from homeport.config.key_path import KeyPath, dotted
from homeport.config.settings import PluginSettings, Settings
from homeport.config.structuring import structure
from homeport.domain.errors import ConfigError

FILE_NAME = "homeport.toml"


@attrs.frozen(kw_only=True)
class LoadedSettings:
    """The settings and how they came about.

    Attributes:
        settings: The tree.
        assignments: All values given, by dotted path, the one in effect last.
        warnings: What deserves a line in the log.
        places: Where each key and table of the files stands, by its dotted path.
        files: All that were read.
    """

    settings: Settings
    assignments: Mapping[str, tuple[Assignment, ...]]
    warnings: tuple[str, ...] = ()
    places: Mapping[str, str] = attrs.field(factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def origins(self) -> Mapping[str, str]:
        """Place of each value in effect, and of the tables it stands in, by dotted path."""
        return _origins(self.assignments, self.places)


def load_settings(
    *, file: Path | None = None, environ: Mapping[str, str] | None = None, flags: Iterable[Assignment] = ()
) -> LoadedSettings:
    """Load the settings.

    Args:
        file: A file that must exist; None takes ``HOMEPORT_CONFIG`` or the user's own where it exists.
        environ: Variables; None takes the process's.
        flags: Values from the command line, the strongest.

    Raises:
        ConfigError: With one line per fault.
    """
    environ = dict(os.environ if environ is None else environ)
    chosen = file or _configured_file(environ)
    read = read_files(chosen) if chosen else FileSettings()
    from_variables, warnings = from_environment(environ)
    given: dict[str, list[Assignment]] = {}
    for assignment in [*read.assignments, *from_variables, *flags]:
        given.setdefault(assignment.dotted, []).append(assignment)
    assignments = {path: tuple(values) for path, values in given.items()}
    origins = _origins(assignments, read.places)
    tree = _tree({values[-1].path: values[-1].value for values in assignments.values()}, origins)
    settings = structure(Settings, tree, origins=origins)
    found = tuple(objections(settings))
    faults = [each.told(origins) for each in found if each.is_fault]
    if faults:
        raise ConfigError("\n".join(faults))
    warnings += [each.told(origins) for each in found if _was_set(each.path, assignments)]
    return LoadedSettings(
        settings=attrs.evolve(settings, plugins=attrs.evolve(settings.plugins, environ=environ)),
        assignments=assignments,
        warnings=tuple(warnings),
        places=read.places,
        files=read.files,
    )


def plugin_config(settings: Settings, name: str, cls: type, origins: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401
    """Build a plugin's own settings from its table ``[plugins.NAME]`` and the variables that it declares.

    Raises:
        ConfigError: With the path of each fault.
    """
    origins = dict(origins or {})
    table = _copied(settings.plugins.tables.get(name, {}))
    for variable in plugin_variables(settings, name, cls):
        place = table
        *parents, last = (str(key) for key in variable.path[2:])
        for parent in parents:
            inner = place.setdefault(parent, {})
            if not isinstance(inner, dict):
                break
            place = inner
        else:
            place[last] = variable.value
            origins[variable.dotted] = variable.origin
    return structure(cls, table, path=f"$.{dotted(('plugins', name))}", origins=origins)


def plugin_variables(settings: Settings, name: str, cls: type) -> tuple[Assignment, ...]:
    """List what variables say about a plugin's own settings, the strongest last.

    Raises:
        ConfigError: A variable holds what its setting cannot.
    """
    return from_plugin_environment(cls, ("plugins", name), settings.plugins.environ)


def user_file() -> Path:
    """Give the place of the user's own settings file."""
    return platformdirs.user_config_path("homeport") / FILE_NAME


def _configured_file(environ: Mapping[str, str]) -> Path | None:
    named = environ.get("HOMEPORT_CONFIG")
    if named:
        return Path(named)
    return user_file() if user_file().is_file() else None


def _was_set(path: KeyPath, assignments: Mapping[str, object]) -> bool:
    """Whether somebody gave the value that a warning is about, or the whole that it is in."""
    return any(dotted(path[:depth]) in assignments for depth in range(1, len(path) + 1))


def _origins(assignments: Mapping[str, tuple[Assignment, ...]], places: Mapping[str, str]) -> dict[str, str]:
    origins = dict(places)
    for path, given in assignments.items():
        origins.update({path: given[-1].origin, **given[-1].inner})
    return origins


def _tree(values: Mapping[KeyPath, Any], origins: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        _put(tree, path, value, origins)
    if isinstance(tree.get("plugins"), dict):
        tree["plugins"] = _split_plugin_tables(tree["plugins"], origins)
    return tree


def _put(tree: dict[str, Any], path: KeyPath, value: object, origins: Mapping[str, str]) -> None:
    """Set a value deep in a tree.

    Raises:
        ConfigError: One place says that something is a table, another that it is a value.
    """
    table = tree
    *parents, last = (str(key) for key in path)
    for depth, key in enumerate(parents, start=1):
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            raise _no_table(path[:depth], path, origins)
        table = inner
    if isinstance(table.get(last), dict) and table[last]:
        if value == {}:
            return
        raise _no_table(path, path, origins)
    table[last] = value


def _no_table(outer: KeyPath, inner: KeyPath, origins: Mapping[str, str]) -> ConfigError:
    place = origins.get(dotted(inner), "")
    return ConfigError(
        f"$.{dotted(inner)}: {outer[-1]!r} is a value in one place and a table in another"
        + (f" ({place})" if place else "")
    )


def _copied(table: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a table and those within it, so that variables can be laid over them."""
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in table.items()}


def _split_plugin_tables(plugins: dict[str, Any], origins: Mapping[str, str]) -> dict[str, Any]:
    """Move ``[plugins.NAME]`` tables under ``tables``, beside the loader's own settings."""
    own = {field.name for field in attrs.fields(PluginSettings) if not field.metadata.get("inner")}
    tables = {key: value for key, value in plugins.items() if isinstance(value, dict)}
    loader = {key: value for key, value in plugins.items() if key not in tables}
    strange = sorted(set(loader) - own)
    if strange:
        place = origins.get(dotted(("plugins", strange[0])), "")
        raise ConfigError(
            f"$.plugins: unknown key {strange[0]!r}; known: {', '.join(sorted(own))}, or a table per plugin"
            + (f" ({place})" if place else "")
        )
    return {**loader, "tables": tables}
