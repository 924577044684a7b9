"""The loader: imports plugins one by one, calls every hook once, and keeps what they declare.

Not ``pluggy``'s own entry-point loader, because blocking must come before the import, one broken plugin
must not stop the others, and every message must name the distribution at fault.
"""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import pluggy
from loguru import logger

from homeport.config.settings import Settings
from homeport.domain.errors import PluginError
from homeport.plugin.choices import unknown_plugins
from homeport.plugin.discovery import FoundPlugin, block_reason, find_plugins
from homeport.plugin.imports import unmet
from homeport.plugin.records import (
    BackendSpec,
    CommandSpec,
    GuardSpec,
    ModelSourceSpec,
    MonitorSpec,
    Record,
    RouterSpec,
    RouteSpec,
    ValidatorSpec,
)
from homeport.plugin.registry import PluginRegistry, PluginState, PluginStatus, Registered
from homeport.plugin.spec import PLUGIN_API, PROJECT, HomeportSpec

RECORD_KINDS: Mapping[str, type[Record]] = {
    "backends": BackendSpec,
    "model_sources": ModelSourceSpec,
    "routers": RouterSpec,
    "guards": GuardSpec,
    "validators": ValidatorSpec,
    "monitors": MonitorSpec,
    "routes": RouteSpec,
    "commands": CommandSpec,
}
"""Each kind of record; ``homeport_<kind>`` is its hook."""

Records = dict[str, dict[str, Registered[Any]]]


def load_plugins(settings: Settings, given: Mapping[str, object] | None = None) -> PluginRegistry:
    """Load every plugin that is not blocked and collect its records.

    Args:
        settings: Handed to hooks; ``settings.plugins`` says which plugins may run.
        given: Plugin objects by name, besides the installed ones.

    Raises:
        PluginError: Two plugins bear or offer one name; or, in strict mode, any plugin failed.
    """
    found = find_plugins(given or {})
    _check_names(plugin for plugin in found if not block_reason(plugin.name, settings.plugins))
    for warning in unknown_plugins(settings.plugins, [plugin.name for plugin in found]):
        logger.warning("{}", warning)
    return _Loader(settings).load(found)


class _Loader:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(HomeportSpec)
        self._records: Records = {kind: {} for kind in RECORD_KINDS}
        self._tables: dict[str, Registered[Any]] = {}

    def load(self, found: Iterable[FoundPlugin]) -> PluginRegistry:
        statuses = tuple(self._load_one(plugin) for plugin in found)
        return PluginRegistry(plugins=statuses, **self._records)

    def _load_one(self, found: FoundPlugin) -> PluginStatus:
        reason = block_reason(found.name, self._settings.plugins)
        if reason:
            return _status(found, PluginState.BLOCKED, cause=reason)
        try:
            records = self._declare(found)
        except (Exception, SystemExit) as error:
            if self._settings.plugins.strict:
                raise _failure(found, error) from error
            logger.error(
                "plugin {} ({}) failed and is left out: {}", found.name, found.origin, describe(error)
            )
            return _status(found, PluginState.FAILED, cause=describe(error))
        self._keep(records)
        entries = [entry for of_kind in records.values() for entry in of_kind.values()]
        is_unused = bool(entries) and all(entry.missing for entry in entries)
        return _status(found, PluginState.UNUSED if is_unused else PluginState.ACTIVE, records=records)

    def _declare(self, found: FoundPlugin) -> Records:
        """Import, check and register one plugin; a failure leaves nothing registered."""
        plugin = found.load()
        _check_api(plugin)
        _check_implementations(plugin)
        try:
            self._manager.register(plugin, name=found.name)
            self._manager.check_pending()
            records = {kind: self._collect(kind, plugin, found) for kind in RECORD_KINDS}
            _check_tables({}, records)
        except BaseException:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            raise
        return records

    def _collect(self, kind: str, plugin: object, found: FoundPlugin) -> dict[str, Registered[Any]]:
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        hook = self._manager.subset_hook_caller(f"homeport_{kind}", remove_plugins=others)
        collected: dict[str, Registered[Any]] = {}
        for records in hook(settings=self._settings):
            for record in records:
                if not isinstance(record, RECORD_KINDS[kind]):
                    message = f"homeport_{kind} returned {record!r}, not a {RECORD_KINDS[kind].__name__}"
                    raise PluginError(message)
                if record.name in collected:
                    message = f"homeport_{kind} returned the name {record.name!r} twice"
                    raise PluginError(message)
                collected[record.name] = Registered(record, found.name, found.origin, unmet(record.requires))
        return collected

    def _keep(self, records: Records) -> None:
        for kind, fresh in records.items():
            for name, registered in fresh.items():
                other = self._records[kind].get(name)
                if other is not None:
                    raise _conflict(f"two plugins offer {name!r} in homeport_{kind}", other, registered)
                self._records[kind][name] = registered
        _check_tables(self._tables, records)


def describe(error: BaseException) -> str:
    """Name an error's class and say what it says."""
    return str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"


def _status(
    found: FoundPlugin, state: PluginState, *, cause: str = "", records: Records | None = None
) -> PluginStatus:
    registered = [
        (f"{kind}:{name}", entry)
        for kind, of_kind in (records or {}).items()
        for name, entry in of_kind.items()
    ]
    return PluginStatus(
        name=found.name,
        distribution=found.distribution,
        version=found.version,
        state=state,
        cause=cause,
        provides=tuple(label for label, _ in registered),
        missing=tuple(
            f"{label} needs {', '.join(entry.missing)}: {entry.remedy}"
            for label, entry in registered
            if entry.missing
        ),
    )


def _failure(found: FoundPlugin, error: BaseException) -> PluginError:
    message = f"plugin {found.name!r} of {found.origin} failed: {describe(error)}"
    return PluginError(message, hint=f"Leave it out with: homeport -p no:{found.name} ...")


def _check_tables(readers: dict[str, Registered[Any]], records: Records) -> None:
    """Let one class read a table: records of one table share their settings or have none.

    Args:
        readers: Records with settings by table; the new ones are added.
        records: Of one plugin.
    """
    for of_kind in records.values():
        for registered in of_kind.values():
            record = registered.record
            if record.config is None:
                continue
            other = readers.setdefault(record.table, registered)
            if other.record.config is not record.config:
                what = f"two records want different settings in [plugins.{record.table}]"
                raise _conflict(what, other, registered)


def _conflict(what: str, first: Registered[Any], second: Registered[Any]) -> PluginError:
    message = (
        f"{what}: {first.plugin!r} of {first.distribution} and {second.plugin!r} of {second.distribution}"
    )
    hint = f"Block one of them: homeport -p no:{first.plugin} ... or homeport -p no:{second.plugin} ..."
    return PluginError(message, hint=hint)


def _check_names(found: Iterable[FoundPlugin]) -> None:
    """Refuse two plugins of one name: blocking, settings and reports could not tell them apart."""
    seen: dict[str, FoundPlugin] = {}
    for plugin in found:
        other = seen.setdefault(plugin.name, plugin)
        if other is not plugin:
            message = f"two plugins are named {plugin.name!r}: ({other.origin}) and ({plugin.origin})"
            hint = f"Uninstall one of them, or block both: homeport -p no:{plugin.name} ..."
            raise PluginError(message, hint=hint)


def _check_api(plugin: object) -> None:
    needed = getattr(plugin, "REQUIRES_PLUGIN_API", PLUGIN_API)
    if not isinstance(needed, int) or needed > PLUGIN_API:
        message = f"it needs plugin API {needed!r}; this homeport has {PLUGIN_API}"
        raise PluginError(message, hint="Upgrade with: pip install --upgrade homeport")


def _check_implementations(plugin: object) -> None:
    """Refuse what pluggy would accept and homeport cannot serve."""
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        if not callable(function) or getattr(function, f"{PROJECT}_impl", None) is None:
            continue
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            message = (
                f"hook {name!r} is async; hooks run once at start-up: return records, and await in the object"
            )
            raise PluginError(message)
        for parameter in inspect.signature(function).parameters.values():
            if parameter.default is not parameter.empty:
                message = (
                    f"hook {name!r} gives argument {parameter.name!r} the default {parameter.default!r}; "
                    "name the arguments you want without defaults"
                )
                raise PluginError(message)
