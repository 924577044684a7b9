"""All that can be wrong with settings once plugins are loaded, the names of models and routes among it."""

from collections.abc import Mapping

from homeport.config.settings import Settings
from homeport.gateway.routing.faults import route_faults
from homeport.plugin.checking import settings_faults
from homeport.plugin.registry import PluginRegistry


def all_faults(settings: Settings, registry: PluginRegistry, origins: Mapping[str, str]) -> tuple[str, ...]:
    """List faults, one line each; nothing where all is well.

    Args:
        settings: As loaded.
        registry: What plugins declared.
        origins: Place of each value by its dotted path.
    """
    found = (each.told(origins) for each in route_faults(settings))
    return (*settings_faults(settings, registry, origins), *found)
