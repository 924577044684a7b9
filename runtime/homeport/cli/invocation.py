"""What stands before the verb on the command line, and the settings it leads to."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

if TYPE_CHECKING:
    from homeport.config.assignments import Assignment
    from homeport.config.loading import LoadedSettings


@attrs.frozen(kw_only=True)
class Invocation:
    """The global options of one command line.

    Attributes:
        blocked: Plugins of ``-p no:NAME``.
        config_file: Settings file of ``--config``.
        home: Folder of ``--home``.
        log_level: Level of ``--log-level``.
    """

    blocked: tuple[str, ...] = ()
    config_file: str | None = None
    home: str | None = None
    log_level: str | None = None

    def load(self, *flags: "Assignment") -> "LoadedSettings":
        """Load the settings; global options and further flags are the strongest.

        Raises:
            ConfigError: With one line per fault.
        """
        from homeport.config.assignments import Assignment  # noqa: PLC0415 - 15 ms with what follows
        from homeport.config.loading import load_settings  # noqa: PLC0415

        file = Path(self.config_file) if self.config_file else None
        given = [*self._assignments(), *flags]
        loaded = load_settings(file=file, flags=given)
        if not self.blocked:
            return loaded
        disabled = [*loaded.settings.plugins.disabled, *self.blocked]
        return load_settings(
            file=file,
            flags=[*given, Assignment(("plugins", "disabled"), disabled, "flag -p, added to the others")],
        )

    def arguments(self) -> list[str]:
        """Give the global options again, for a homeport that this one starts."""
        named = {"--config": self.config_file, "--home": self.home, "--log-level": self.log_level}
        options = [part for flag, value in named.items() if value for part in (flag, value)]
        return [*options, *(part for name in self.blocked for part in ("-p", f"no:{name}"))]

    def _assignments(self) -> Iterator["Assignment"]:
        from homeport.config.assignments import Assignment  # noqa: PLC0415

        if self.home:
            yield Assignment(("home",), str(Path(self.home).absolute()), "flag --home")
        if self.log_level:
            yield Assignment(("log", "level"), self.log_level.upper(), "flag --log-level")


def warn_of(loaded: "LoadedSettings") -> None:
    """Tell what is odd about the settings on standard error."""
    for warning in (*loaded.warnings, *_unknown_plugins(loaded)):
        click.echo(f"Warning: {warning}", err=True)


def _unknown_plugins(loaded: "LoadedSettings") -> Iterator[str]:
    plugins = loaded.settings.plugins
    if plugins.disabled or plugins.enabled:
        from homeport.plugin.choices import unknown_plugins  # noqa: PLC0415 - 20 ms, which few need
        from homeport.plugin.discovery import find_plugins  # noqa: PLC0415

        yield from unknown_plugins(plugins, [plugin.name for plugin in find_plugins({})])
