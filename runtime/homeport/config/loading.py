"""From defaults, file, environment and flags to one tree: defaults < file < environment < flags."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import platformdirs

from homeport.config.assignments import Assignment, KeyPath, from_environment, from_file, setting_fields
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
    """

    settings: Settings
    assignments: Mapping[str, tuple[Assignment, ...]]
    warnings: tuple[str, ...] = ()

    @property
    def origins(self) -> Mapping[str, str]:
        """Place of each value in effect, by dotted path."""
        return {path: given[-1].origin for path, given in self.assignments.items()}


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
    environ = os.environ if environ is None else environ
    chosen = file or _configured_file(environ)
    from_variables, warnings = from_environment(environ)
    given: dict[str, list[Assignment]] = {}
    for assignment in [*(from_file(chosen) if chosen else []), *from_variables, *flags]:
        given.setdefault(assignment.dotted, []).append(assignment)
    assignments = {path: tuple(values) for path, values in given.items()}
    origins = {path: values[-1].origin for path, values in assignments.items()}
    tree = _tree({values[-1].path: values[-1].value for values in assignments.values()})
    secrets = {".".join(path) for path, field in setting_fields() if field.metadata["secret"]}
    settings = structure(Settings, tree, path="$", origins=origins, secrets=secrets)
    return LoadedSettings(settings=settings, assignments=assignments, warnings=tuple(warnings))


def plugin_config(settings: Settings, name: str, cls: type, origins: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401
    """Build a plugin's own settings from its table ``[plugins.NAME]``.

    Raises:
        ConfigError: With the path of each fault.
    """
    return structure(cls, settings.plugins.tables.get(name, {}), path=f"$.plugins.{name}", origins=origins)


def user_file() -> Path:
    """Give the place of the user's own settings file."""
    return platformdirs.user_config_path("homeport") / FILE_NAME


def _configured_file(environ: Mapping[str, str]) -> Path | None:
    named = environ.get("HOMEPORT_CONFIG")
    if named:
        return Path(named)
    return user_file() if user_file().is_file() else None


def _tree(values: Mapping[KeyPath, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        table = tree
        for key in path[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                message = f"$.{'.'.join(path)}: {key!r} is a value, not a table"
                raise ConfigError(message)
        table[path[-1]] = value
    if isinstance(tree.get("plugins"), dict):
        tree["plugins"] = _split_plugin_tables(tree["plugins"])
    return tree


def _split_plugin_tables(plugins: dict[str, Any]) -> dict[str, Any]:
    """Move ``[plugins.NAME]`` tables under ``tables``, beside the loader's own settings."""
    own = {field.name for field in attrs.fields(PluginSettings)} - {"tables"}
    tables = {key: value for key, value in plugins.items() if isinstance(value, dict)}
    loader = {key: value for key, value in plugins.items() if key not in tables}
    strange = sorted(set(loader) - own)
    if strange:
        message = (
            f"$.plugins: unknown key {strange[0]!r}; known: {', '.join(sorted(own))}, or a table per plugin"
        )
        raise ConfigError(message)
    return {**loader, "tables": tables}
