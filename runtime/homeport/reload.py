"""Settings read anew while the host runs: applied as a whole, or not at all."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from loguru import logger

from homeport.config.fields import set_values
from homeport.config.key_path import KeyPath, dotted
from homeport.config.loading import LoadedSettings, plugin_config
from homeport.config.logs import configure_logging
from homeport.config.settings import Settings
from homeport.domain.errors import ConfigError, HomeportError
from homeport.gateway.assembly import GatewayAssembly
from homeport.gateway.checking import all_faults
from homeport.gateway.pipeline import Gateway
from homeport.models.local import LocalBackend
from homeport.models.room import Room
from homeport.plugin.construction import Construction
from homeport.plugin.registry import PluginRegistry
from homeport.plugin.succession import Succession

_AT_START_ONLY = (
    ("home",),
    ("offline",),
    ("server",),
    ("plugins", "disabled"),
    ("plugins", "enabled"),
    ("plugins", "strict"),
    ("models", "backend"),
    ("models", "preload"),
    ("models", "pin"),
    ("models", "quant"),
)
"""Settings that are read once; the tables of plugins are looked at one by one."""


@attrs.frozen(kw_only=True)
class ReloadReport:
    """What became of settings that were read anew.

    Attributes:
        applied: Settings that changed and are in force, by dotted path.
        needs_restart: Settings that changed and are not in force before the next start.
        warnings: What is odd about the settings.
    """

    applied: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Reloadable:
    """The parts of a running host that take other settings.

    Attributes:
        registry: What plugins declared.
        construction: What was built of that.
        assembly: Builds the rules of the gateway.
        gateway: Goes by them.
        local: Backends that load models.
        room: Memory that they share.
    """

    registry: PluginRegistry
    construction: Construction
    assembly: GatewayAssembly
    gateway: Gateway
    local: Mapping[str, LocalBackend]
    room: Room


class SettingsReload:
    """Reads settings anew and puts them in force; what is wrong with them changes nothing.

    Args:
        load: Reads them, as at the start; blocks. None where they were given in code.
        settings: In force now.
        parts: What they are in force in.
    """

    def __init__(
        self, load: Callable[[], LoadedSettings] | None, settings: Settings, parts: Reloadable
    ) -> None:
        self._load = load
        self._settings = settings
        self._parts = parts
        self._turn = asyncio.Lock()

    @property
    def settings(self) -> Settings:
        """In force now."""
        return self._settings

    async def run(self) -> ReloadReport:
        """Read the settings and apply what can be applied; one call at a time.

        Requests that run keep the rules that they began with.

        Raises:
            ConfigError: They are wrong, one line per fault; all is as before.
            PluginError: A plugin cannot work by them; all is as before.
        """
        if self._load is None:
            raise ConfigError("the settings of this host were given in code; there is nothing to read anew")
        async with self._turn:
            try:
                loaded = await asyncio.to_thread(self._load)
                report = await self._apply(loaded)
            except HomeportError as error:
                logger.error("the settings were not reloaded, the old ones stay in force: {}", error.message)
                raise
        _tell(report)
        return report

    async def _apply(self, loaded: LoadedSettings) -> ReloadReport:
        registry = self._parts.registry
        faults = await asyncio.to_thread(all_faults, loaded.settings, registry, loaded.origins)
        if faults:
            raise ConfigError("\n".join(faults))
        succession = Succession(registry, self._parts.construction)
        changed = _changed(_values(self._settings, registry), _values(loaded.settings, registry))
        late = tuple(path for path in changed if _is_late(path, succession))
        settings = _merged(self._settings, loaded.settings, succession)
        await self._put_in_force(settings, loaded, succession)
        return ReloadReport(
            applied=tuple(dotted(path) for path in changed if path not in late),
            needs_restart=tuple(dotted(path) for path in late),
            warnings=loaded.warnings,
        )

    async def _put_in_force(self, settings: Settings, loaded: LoadedSettings, succession: Succession) -> None:
        """Build everything that may fail first; then swap, which does not.

        Raises:
            ConfigError: A setting names what does not exist.
            PluginError: What the settings ask for cannot be built.
        """
        parts = self._parts
        heir = parts.construction.successor(settings, loaded.origins)
        gateway = parts.gateway
        try:
            policy = parts.assembly.policy(settings, heir, gateway.admission, gateway.breakers)
            succession.reconfigure(self._settings, settings)
        except BaseException:
            await heir.discard(parts.construction)
            raise
        gateway.adopt(policy)
        parts.construction.adopt(heir)
        parts.room.reconfigure(settings.models)
        for backend in parts.local.values():
            backend.reconfigure(settings.models)
        if settings.log.level != self._settings.log.level:
            configure_logging(settings.log.level)
        self._settings = settings


def _values(settings: Settings, registry: PluginRegistry) -> Mapping[KeyPath, Any]:
    """Give every value with its path, those of plugins as they understand them."""
    trees: list[tuple[object, KeyPath]] = [(settings, ())]
    for name, cls in registry.config_classes().items():
        trees.append((plugin_config(settings, name, cls), ("plugins", name)))
    return {
        each.path: each.value
        for tree, path in trees
        for each in set_values(tree, path)
        if not isinstance(each.value, Mapping)  # an empty one, which holds no setting
    }


def _changed(before: Mapping[KeyPath, Any], after: Mapping[KeyPath, Any]) -> tuple[KeyPath, ...]:
    absent = object()
    paths = dict.fromkeys((*before, *after))
    return tuple(path for path in paths if before.get(path, absent) != after.get(path, absent))


def _is_late(path: KeyPath, succession: Succession) -> bool:
    if any(path[: len(prefix)] == prefix for prefix in _AT_START_ONLY):
        return True
    return path[0] == "plugins" and not succession.may_change(str(path[1]))


def _merged(old: Settings, new: Settings, succession: Succession) -> Settings:
    """Take the new settings where they can be put in force, and the old ones elsewhere."""
    tables = {
        name: source.plugins.tables[name]
        for name in {*old.plugins.tables, *new.plugins.tables}
        if name in (source := new if succession.may_change(name) else old).plugins.tables
    }
    models = attrs.evolve(
        new.models,
        backend=old.models.backend,
        preload=old.models.preload,
        pin=old.models.pin,
        quant=old.models.quant,
    )
    return attrs.evolve(
        new,
        home=old.home,
        server=old.server,
        models=models,
        plugins=attrs.evolve(old.plugins, tables=tables, environ=new.plugins.environ),
    )


def _tell(report: ReloadReport) -> None:
    for warning in report.warnings:
        logger.warning("{}", warning)
    if report.applied:
        logger.info("settings reloaded; in force now: {}", ", ".join(report.applied))
    else:
        logger.info("settings reloaded; nothing else is in force")
    if report.needs_restart:
        logger.warning("settings that need a restart: {}", ", ".join(report.needs_restart))
