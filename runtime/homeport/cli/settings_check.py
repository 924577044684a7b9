"""Faults of the settings, those of plugins among them."""

import click

from homeport.cli.invocation import Invocation, warn_of
from homeport.cli.text import harmless_line
from homeport.domain.errors import ConfigError
from homeport.gateway.checking import all_faults
from homeport.plugin.manager import load_plugins
from homeport.plugin.tables import table_doubts


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
    registry = load_plugins(loaded.settings)
    for doubt in table_doubts(loaded.settings, registry, loaded.origins):
        click.echo(f"Warning: {harmless_line(doubt)}", err=True)
    return all_faults(loaded.settings, registry, loaded.origins)
