"""From records to objects: what a plugin's factory does wrong is told, and harms no other plugin."""

from collections.abc import Mapping
from typing import Any

import attrs
from loguru import logger

from homeport.config.loading import plugin_config
from homeport.config.settings import Settings
from homeport.domain.errors import PluginError
from homeport.plugin.imports import import_object
from homeport.plugin.manager import describe
from homeport.plugin.records import Record
from homeport.plugin.registry import PluginRegistry, PluginState, PluginStatus, Registered


class Construction:
    """Builds what records name.

    Args:
        settings: Of this homeport; they hold the tables of plugins.
        registry: What plugins declared.
        origins: Place of each setting by its dotted path, for messages.
    """

    def __init__(self, settings: Settings, registry: PluginRegistry, origins: Mapping[str, str]) -> None:
        self._settings = settings
        self._registry = registry
        self._origins = origins
        self._causes: dict[str, list[str]] = {}

    @property
    def registry(self) -> PluginRegistry:
        """The plugins as they stand now: one with an object that could not be built has failed."""
        plugins = tuple(self._standing(status) for status in self._registry.plugins)
        return attrs.evolve(self._registry, plugins=plugins)

    def config(self, record: Record) -> tuple[Any, ...]:
        """Give the arguments of a record's factory: its settings, or nothing.

        Raises:
            ConfigError: With the path of each fault.
        """
        if record.config is None:
            return ()
        return (plugin_config(self._settings, record.name, record.config, self._origins),)

    def build(self, label: str, registered: Registered[Any]) -> Any:  # noqa: ANN401 - what the kind promises
        """Build one object.

        Args:
            label: ``routers:NAME``, for messages.
            registered: Its record.

        Raises:
            ConfigError: Its settings are wrong.
            PluginError: It cannot be imported or built; names the distribution.
        """
        config = self.config(registered.record)
        try:
            return import_object(registered.record.factory)(*config)
        except (Exception, SystemExit) as error:
            message = (
                f"{label} of plugin {registered.plugin!r} ({registered.distribution}) cannot be built: "
                f"{describe(error)}"
            )
            hint = f"Leave it out with: homeport -p no:{registered.plugin} ..."
            raise PluginError(message, hint=hint) from error

    def build_all(self, kind: str) -> dict[str, Any]:
        """Build every usable record of a kind; one that cannot be built is logged and left out.

        Raises:
            ConfigError: Settings of one are wrong.
            PluginError: One cannot be built, in strict mode.
        """
        return {
            name: built
            for name, registered in self.usable(kind).items()
            if (built := self.attempt(f"{kind}:{name}", registered)) is not None
        }

    def attempt(self, label: str, registered: Registered[Any]) -> Any:  # noqa: ANN401 - what the kind promises
        """Build one object, or log why it cannot be and give None.

        Raises:
            ConfigError: Its settings are wrong.
            PluginError: It cannot be built, in strict mode.
        """
        try:
            return self.build(label, registered)
        except PluginError as error:
            if self._settings.plugins.strict:
                raise
            logger.error("{}; it is left out", error.message)
            self._causes.setdefault(registered.plugin, []).append(error.message)
            return None

    def usable(self, kind: str) -> dict[str, Registered[Any]]:
        """Give the records of a kind whose requirements are met; the others are named in the log."""
        known: Mapping[str, Registered[Any]] = getattr(self._registry, kind)
        for name, entry in known.items():
            if entry.missing:
                logger.warning(
                    "{} is not used, it needs {}: {}", name, ", ".join(entry.missing), entry.remedy
                )
        return {name: entry for name, entry in known.items() if not entry.missing}

    def _standing(self, status: PluginStatus) -> PluginStatus:
        causes = self._causes.get(status.name)
        if causes is None:
            return status
        return attrs.evolve(status, state=PluginState.FAILED, cause="; ".join(causes))
