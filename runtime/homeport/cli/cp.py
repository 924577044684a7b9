"""``homeport cp``: a further name for a model."""

import click

from homeport.cli.connection import connected
from homeport.cli.invocation import Invocation
from homeport.cli.model_completion import installed_models
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.text import harmless_line, write_json


@click.command("cp", epilog="\b\nExample:\n  homeport cp smollm2:135m small")
@click.argument("source", shell_complete=installed_models)
@click.argument("destination")
@json_option
@pass_invocation
def cp(invocation: Invocation, *, source: str, destination: str, as_json: bool) -> None:
    """Give the model SOURCE the further name DESTINATION. No weights are copied."""
    names = {"source": source, "destination": destination}
    with connected(invocation) as client:
        client.ask("POST", "/api/copy", names)
    if as_json:
        write_json(names)
    else:
        click.echo(f"copied '{harmless_line(source)}' to '{harmless_line(destination)}'")
