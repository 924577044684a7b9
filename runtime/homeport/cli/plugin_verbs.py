"""Verbs that plugins add."""

from collections.abc import Mapping

import click

from homeport.cli.invocation import Invocation
from homeport.cli.verbs import ALIASES, VERBS
from homeport.config.logs import silence_logs
from homeport.domain.errors import PluginError
from homeport.plugin.construction import Construction
from homeport.plugin.imports import import_object
from homeport.plugin.manager import load_plugins
from homeport.plugin.records import CommandSpec
from homeport.plugin.registry import PluginRegistry, Registered


def plugin_verbs(registry: PluginRegistry) -> Mapping[str, Registered[CommandSpec]]:
    """Collect the verbs that plugins offer.

    Raises:
        PluginError: One bears the name of a built-in verb, which would hide it.
    """
    for name, registered in registry.commands.items():
        if name in VERBS or name in ALIASES:
            message = (
                f"the verb {name!r} of plugin {registered.plugin!r} ({registered.distribution}) "
                "bears the name of a built-in one"
            )
            raise PluginError(message, hint=f"Block it with: homeport -p no:{registered.plugin} ...")
    return registry.commands


def find_verb(invocation: Invocation, name: str) -> click.Command | None:
    """Import the verb that a plugin offers under a name; None where there is none.

    Raises:
        PluginError: It cannot be imported, is no ``click.Command``, or lacks a requirement; or a plugin's
            verb bears the name of a built-in one.
    """
    silence_logs()
    loaded = invocation.load()
    registry = load_plugins(loaded.settings)
    registered = plugin_verbs(registry).get(name)
    if registered is None:
        return None
    if registered.missing:
        message = f"the verb {name!r} of {registered.distribution} needs {', '.join(registered.missing)}"
        raise PluginError(message, hint=f"Run: {registered.remedy}")
    record = registered.record
    if record.config is None and not record.keeps_state:
        command = import_object(record.factory)
    else:
        command = Construction(loaded.settings, registry, loaded.origins).build(
            f"commands:{name}", registered
        )
    if not isinstance(command, click.Command):
        message = f"the verb {name!r} of {registered.distribution} is {command!r}, not a click.Command"
        raise PluginError(message, hint=f"Block it with: homeport -p no:{registered.plugin} ...")
    return command
