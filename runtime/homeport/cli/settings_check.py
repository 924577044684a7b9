"""Faults of the settings, those of plugins among them."""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING

from homeport.cli.invocation import Invocation, warn_of
from homeport.config.loading import LoadedSettings, plugin_config
from homeport.config.logs import check_level
from homeport.domain.errors import ConfigError, HomeportError
from homeport.plugin.manager import load_plugins
from homeport.plugin.registry import PluginRegistry, PluginState, chosen

if TYPE_CHECKING:
    from collections.abc import Callable


def faults(invocation: Invocation) -> tuple[str, ...]:
    """List what is wrong, one line each; nothing where all is well.

    Raises:
        PluginError: Two plugins offer one name, so that nothing can be checked.
    """
    try:
        loaded = invocation.load()
    except ConfigError as error:
        return tuple(str(error).splitlines())
    warn_of(loaded)
    return tuple(_faults(loaded, load_plugins(loaded.settings)))


def _faults(loaded: LoadedSettings, registry: PluginRegistry) -> Iterator[str]:
    yield from _unknown_tables(loaded, registry)
    gateway = loaded.settings.gateway
    checks: list[Callable[[], object]] = [
        partial(check_level, loaded.settings.log.level),
        partial(chosen, "routers", gateway.routers, registry.routers),
        partial(chosen, "validators", gateway.validators, registry.validators),
    ]
    checks += [
        partial(plugin_config, loaded.settings, name, cls, loaded.origins)
        for name, cls in sorted(registry.config_classes().items())
    ]
    for check in checks:
        try:
            check()
        except HomeportError as error:
            yield from str(error).splitlines()


def _unknown_tables(loaded: LoadedSettings, registry: PluginRegistry) -> Iterator[str]:
    """Find tables that no plugin reads. Those of a plugin that does not run cannot be told."""
    known = registry.config_classes()
    resting = {plugin.name for plugin in registry.plugins if plugin.state is not PluginState.ACTIVE}
    for name in loaded.settings.plugins.tables:
        if name not in known and name not in resting:
            near = get_close_matches(name, known, n=1)
            allowed = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known)) or 'none'}"
            yield f"$.plugins.{name}: no installed plugin has such settings; {allowed}{_place(loaded, name)}"


def _place(loaded: LoadedSettings, name: str) -> str:
    prefix = f"plugins.{name}."
    origins = [origin for path, origin in loaded.origins.items() if path.startswith(prefix)]
    return f" ({origins[0]})" if origins else ""
