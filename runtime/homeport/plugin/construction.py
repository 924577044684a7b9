"""From records to objects: what a plugin's factory does wrong is told, and harms no other plugin."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from loguru import logger

from homeport.config.loading import plugin_config
from homeport.config.settings import Settings
from homeport.domain.errors import ConfigError, PluginError
from homeport.plugin.imports import import_object
from homeport.plugin.manager import describe
from homeport.plugin.protocols import Reconfigurable
from homeport.plugin.records import BackendSpec, CommandSpec, Record
from homeport.plugin.registry import PluginRegistry, PluginState, PluginStatus, Registered, chosen

STATE_FOLDER = "state"
"""Below the home folder: one folder per plugin."""


def plugin_state(settings: Settings, plugin: str) -> Path:
    """Make the folder that is a plugin's own, for the user alone to read.

    Raises:
        ConfigError: It cannot be made.
    """
    folder = settings.home / STATE_FOLDER / plugin
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the state folder {str(folder)!r}: {error}") from error
    return folder


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
        self._shared: dict[tuple[str, str, str], Any] = {}
        self._records: dict[tuple[str, str, str], Record] = {}
        self._replaced: list[Any] = []
        self._told: set[tuple[str, str]] = set()

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
        return (plugin_config(self._settings, record.table, record.config, self._origins),)

    def build(self, label: str, registered: Registered[Any]) -> Any:  # noqa: ANN401 - what the kind promises
        """Build one object, or give the one that another record of its plugin shares.

        Args:
            label: ``routers:NAME``, for messages.
            registered: Its record.

        Raises:
            ConfigError: Its settings are wrong.
            PluginError: It cannot be imported or built; names the distribution.
        """
        record = registered.record
        key = (registered.plugin, record.factory, record.table)
        if isinstance(record, BackendSpec | CommandSpec):
            return self._built(label, registered)
        if key not in self._shared:
            self._shared[key] = self._built(label, registered)
            self._records[key] = record
        return self._shared[key]

    async def aclose(self) -> None:
        """Close what was built and can be closed, the last first; backends are closed by their owner."""
        for built in reversed([*self._replaced, *self._shared.values()]):
            await _close(built)
        self._replaced.clear()
        self._shared.clear()

    def built_for(self, table: str) -> tuple[Any, ...]:
        """List the objects that read a table, those of backends and verbs not among them."""
        return tuple(self._shared[key] for key, record in self._records.items() if record.table == table)

    def successor(self, settings: Settings, origins: Mapping[str, str]) -> "Construction":
        """Begin anew with other settings, and with those objects here whose own settings stay or are told.

        Args:
            settings: The other ones.
            origins: Place of each of them.

        Raises:
            ConfigError: With the path of each fault.
        """
        heir = Construction(settings, self._registry, origins)
        heir._told |= self._told
        for key, record in self._records.items():
            built = self._shared[key]
            if isinstance(built, Reconfigurable) or heir.config(record) == self.config(record):
                heir._shared[key] = built
                heir._records[key] = record
        return heir

    def adopt(self, heir: "Construction") -> None:
        """Go on with what a successor built; what it replaced is closed with the rest, for it is in use."""
        kept = [id(built) for built in heir._shared.values()]  # noqa: SLF001 - of this class
        gone = [built for built in self._shared.values() if id(built) not in kept]
        self._replaced += [built for built in gone if hasattr(built, "aclose")]
        self._settings, self._origins = heir._settings, heir._origins  # noqa: SLF001
        self._shared, self._records = heir._shared, heir._records  # noqa: SLF001

    async def discard(self, ancestor: "Construction") -> None:
        """Close what was built here and is not the ancestor's."""
        kept = [id(built) for built in ancestor._shared.values()]  # noqa: SLF001 - of this class
        for built in self._shared.values():
            if id(built) not in kept:
                await _close(built)
        self._shared.clear()

    def _built(self, label: str, registered: Registered[Any]) -> Any:  # noqa: ANN401 - what the kind promises
        config = self.config(registered.record)
        state = self._state(registered)
        try:
            return import_object(registered.record.factory)(*config, **state)
        except (Exception, SystemExit) as error:
            message = (
                f"{label} of plugin {registered.plugin!r} ({registered.distribution}) cannot be built: "
                f"{describe(error)}"
            )
            hint = f"Leave it out with: homeport -p no:{registered.plugin} ..."
            raise PluginError(message, hint=hint) from error

    def _state(self, registered: Registered[Any]) -> dict[str, Path]:
        """Make the folder that a plugin keeps its state in, where it wants one."""
        if not registered.record.keeps_state:
            return {}
        return {"state": plugin_state(self._settings, registered.plugin)}

    def chosen(self, kind: str, names: tuple[str, ...]) -> list[tuple[str, Any]]:
        """Build what a setting lists, in its order; nothing that the user asked for is left out.

        Raises:
            ConfigError: A name that no plugin offers, or settings of one are wrong.
            PluginError: One cannot be built, or lacks a requirement.
        """
        return [
            (entry.record.name, self.build(f"{kind}:{entry.record.name}", entry))
            for entry in chosen(kind, names, getattr(self._registry, kind))
        ]

    def every(self, kind: str) -> list[tuple[str, Any]]:
        """Build every record of a kind, or none: for those whose absence would allow what they forbid.

        Raises:
            ConfigError: Settings of one are wrong.
            PluginError: One cannot be built, or lacks a requirement.
        """
        return self.chosen(kind, tuple(getattr(self._registry, kind)))

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
        """Give the records of a kind whose requirements are met; the others are named in the log, once."""
        known: Mapping[str, Registered[Any]] = getattr(self._registry, kind)
        for name, entry in known.items():
            if entry.missing and (kind, name) not in self._told:
                self._told.add((kind, name))
                logger.log(
                    "DEBUG" if self._registry.stand_in(entry.record) else "WARNING",
                    "{} is not used, it needs {}: {}",
                    name,
                    ", ".join(entry.missing),
                    entry.remedy,
                )
        return {name: entry for name, entry in known.items() if not entry.missing}

    def _standing(self, status: PluginStatus) -> PluginStatus:
        causes = self._causes.get(status.name)
        if causes is None:
            return status
        return attrs.evolve(status, state=PluginState.FAILED, cause="; ".join(causes))


async def _close(built: Any) -> None:  # noqa: ANN401 - what a plugin built
    close = getattr(built, "aclose", None)
    if close is None:
        return
    try:
        await close()
    except Exception as error:  # noqa: BLE001 - one plugin's mistake must not keep the others open
        logger.error("{} of a plugin failed to close: {}", type(built).__name__, describe(error))
