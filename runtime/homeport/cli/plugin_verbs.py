"""Verbs that plugins add."""

import click

from homeport.cli.invocation import Invocation
from homeport.config.logs import silence_logs
from homeport.domain.errors import PluginError
from homeport.plugin.imports import import_object
from homeport.plugin.manager import load_plugins


def find_verb(invocation: Invocation, name: str) -> click.Command | None:
    """Import the verb that a plugin offers under a name; None where there is none.

    Raises:
        PluginError: It cannot be imported, is no ``click.Command``, or lacks a requirement.
    """
    silence_logs()
    registered = load_plugins(invocation.load().settings).commands.get(name)
    if registered is None:
        return None
    if registered.missing:
        message = f"the verb {name!r} of {registered.distribution} needs {', '.join(registered.missing)}"
        raise PluginError(message, hint=f"Run: {registered.remedy}")
    command = import_object(registered.record.factory)
    if not isinstance(command, click.Command):
        message = f"the verb {name!r} of {registered.distribution} is {command!r}, not a click.Command"
        raise PluginError(message, hint=f"Block it with: homeport -p no:{registered.plugin} ...")
    return command
