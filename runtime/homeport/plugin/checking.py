"""All that can be wrong with settings once plugins are loaded."""

from collections.abc import Mapping

from homeport.config.logs import check_level
from homeport.config.settings import Settings
from homeport.domain.errors import ConfigError
from homeport.plugin.choices import choice_faults
from homeport.plugin.registry import PluginRegistry
from homeport.plugin.tables import table_faults


def settings_faults(
    settings: Settings, registry: PluginRegistry, origins: Mapping[str, str]
) -> tuple[str, ...]:
    """List faults, one line each; nothing where all is well.

    Args:
        settings: As loaded, so each value is right by itself.
        registry: What plugins declared.
        origins: Place of each value by its dotted path.
    """
    found = [*table_faults(settings, registry, origins), *choice_faults(settings, registry, origins)]
    try:
        check_level(settings.log.level)
    except ConfigError as error:
        place = origins.get("log.level", "")
        found.append(f"{error}" + (f" ({place})" if place else ""))
    return tuple(found)
