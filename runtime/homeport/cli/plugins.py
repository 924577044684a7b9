"""``homeport plugins``: which are installed, what they provide, why one does not run."""

from collections.abc import Iterator

import click

from homeport.cli.invocation import Invocation, warn_of
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.plugin_verbs import plugin_verbs
from homeport.cli.text import columns, harmless_line, write_json
from homeport.config.logs import silence_logs
from homeport.plugin.manager import load_plugins
from homeport.plugin.registry import PluginRegistry, PluginStatus

HEADER = ("NAME", "DISTRIBUTION", "VERSION", "STATUS", "PROVIDES")


@click.command("plugins", epilog="\b\nExample:\n  homeport plugins --json")
@json_option
@pass_invocation
def plugins(invocation: Invocation, *, as_json: bool) -> None:
    """List plugins with distribution, version, status, what they provide, and why one does not run.

    Needs no server: the plugins are declared here as a server would declare them, nothing heavy is imported.
    """
    loaded = invocation.load()
    warn_of(loaded)
    silence_logs()
    registry = load_plugins(loaded.settings)
    verbs = {name: entry.record.summary for name, entry in plugin_verbs(registry).items()}
    if as_json:
        write_json({"plugins": [_fields(status) for status in registry.plugins], "verbs": verbs})
        return
    click.echo(columns(HEADER, (_row(status) for status in registry.plugins)))
    for line in _causes(registry):
        click.echo(line)
    for name, summary in verbs.items():
        click.echo(f"homeport {name}: {harmless_line(summary)}")


def _fields(status: PluginStatus) -> dict[str, object]:
    return {
        "name": status.name,
        "distribution": status.distribution,
        "version": status.version,
        "status": status.state.value,
        "cause": status.cause,
        "provides": status.provides,
        "missing": status.missing,
    }


def _row(status: PluginStatus) -> tuple[str, ...]:
    provides = ", ".join(status.provides) or "-"
    return (status.name, status.distribution, status.version, status.state.value, provides)


def _causes(registry: PluginRegistry) -> Iterator[str]:
    """Explain below the table what does not run."""
    for status in registry.plugins:
        if status.cause:
            yield f"{harmless_line(status.name)}: {harmless_line(status.cause)}"
        for lack in registry.lacks(status.name):
            yield f"{harmless_line(status.name)}: {harmless_line(f'{lack}: {lack.remedy}')}"
