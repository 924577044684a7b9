"""The tables ``[plugins.NAME]``, checked against what the plugins that run can read."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from loguru import logger

from homeport.config.loading import plugin_config
from homeport.config.settings import Settings
from homeport.domain.errors import ConfigError
from homeport.plugin.registry import PluginRegistry, PluginState


def table_faults(settings: Settings, registry: PluginRegistry, origins: Mapping[str, str]) -> Iterator[str]:
    """List what is wrong with the tables of plugins, one line each.

    A table that nobody reads is a fault as long as all plugins run; else it may belong to one that does not,
    and is only told in the log.

    Args:
        settings: As loaded.
        registry: The plugins, and the settings they declare.
        origins: Place of each value by its dotted path.
    """
    resting = [plugin.name for plugin in registry.plugins if plugin.state is not PluginState.ACTIVE]
    for name in settings.plugins.tables:
        if name in registry.config_classes() or name in resting:
            continue
        fault = (
            f"$.plugins.{name}: no installed plugin has such settings; {_nearest(name, registry, origins)}"
        )
        if not resting:
            yield fault
        else:
            logger.warning("{}; they may be of a plugin that does not run: {}", fault, ", ".join(resting))
    for name, cls in sorted(registry.config_classes().items()):
        try:
            plugin_config(settings, name, cls, origins)
        except ConfigError as error:
            yield from str(error).splitlines()


def _nearest(name: str, registry: PluginRegistry, origins: Mapping[str, str]) -> str:
    known = sorted(registry.config_classes())
    near = get_close_matches(name, known, n=1)
    allowed = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
    table = f"plugins.{name}"
    places = [origin for path, origin in origins.items() if f"{path}.".startswith(f"{table}.")]
    return f"{allowed} ({places[0]})" if places else allowed
