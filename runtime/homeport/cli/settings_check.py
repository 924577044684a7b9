"""Faults of the settings, those of plugins among them."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from homeport.cli.invocation import Invocation, warn_of
from homeport.config.loading import LoadedSettings
from homeport.config.logs import check_level
from homeport.domain.errors import ConfigError, HomeportError
from homeport.plugin.manager import load_plugins
from homeport.plugin.registry import PluginRegistry, chosen
from homeport.plugin.tables import table_faults

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
    yield from table_faults(loaded.settings, registry, loaded.origins)
    gateway = loaded.settings.gateway
    checks: list[Callable[[], object]] = [
        partial(check_level, loaded.settings.log.level),
        partial(chosen, "routers", gateway.routers, registry.routers),
        partial(chosen, "validators", gateway.validators, registry.validators),
    ]
    for check in checks:
        try:
            check()
        except HomeportError as error:
            yield from str(error).splitlines()
