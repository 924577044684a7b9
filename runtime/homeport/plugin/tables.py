"""The tables ``[plugins.NAME]``, checked against what the plugins that run can read."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

import attrs
from loguru import logger

from homeport.config.key_path import dotted
from homeport.config.loading import plugin_config
from homeport.config.settings import Settings
from homeport.domain.errors import ConfigError
from homeport.plugin.registry import PluginRegistry, PluginState

if TYPE_CHECKING:
    from homeport.config.setting import Doubts


def table_faults(settings: Settings, registry: PluginRegistry, origins: Mapping[str, str]) -> Iterator[str]:
    """List what is wrong with the tables of plugins, one line each.

    A table that nobody reads is a fault as long as all plugins run; else it may belong to one that does not,
    and is only told in the log.

    Args:
        settings: As loaded.
        registry: The plugins, and the settings they declare.
        origins: Place of each value by its dotted path.
    """
    undeclared = {PluginState.BLOCKED, PluginState.FAILED}
    resting = [plugin.name for plugin in registry.plugins if plugin.state in undeclared]
    for name in settings.plugins.tables:
        if name in registry.config_classes() or name in resting:
            continue
        nearest = _nearest(name, registry, origins)
        fault = f"$.{dotted(('plugins', name))}: no installed plugin has such settings; {nearest}"
        if not resting:
            yield fault
        else:
            logger.warning("{}; they may be of a plugin that does not run: {}", fault, ", ".join(resting))
    for name, cls in sorted(registry.config_classes().items()):
        try:
            plugin_config(settings, name, cls, origins)
        except ConfigError as error:
            yield from str(error).splitlines()


def table_doubts(settings: Settings, registry: PluginRegistry, origins: Mapping[str, str]) -> Iterator[str]:
    """List what is odd about the tables of plugins, one line each; they can be used nevertheless.

    Args:
        settings: As loaded.
        registry: The plugins, and the settings they declare.
        origins: Place of each value by its dotted path.
    """
    for name, cls in sorted(registry.config_classes().items()):
        try:
            config = plugin_config(settings, name, cls, origins)
        except ConfigError:
            continue  # a fault, told as such
        for field in attrs.fields(cls):
            doubts: Doubts | None = field.metadata.get("doubts")
            for path, message in doubts(getattr(config, field.name)) if doubts else ():
                place = dotted(("plugins", name, field.name, *path))
                origin = origins.get(place, "")
                yield f"$.{place}: {message}" + (f" ({origin})" if origin else "")


def _nearest(name: str, registry: PluginRegistry, origins: Mapping[str, str]) -> str:
    known = sorted(registry.config_classes())
    near = get_close_matches(name, known, n=1)
    allowed = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
    table = dotted(("plugins", name))
    places = [origin for path, origin in origins.items() if f"{path}.".startswith(f"{table}.")]
    return f"{allowed} ({places[0]})" if places else allowed
