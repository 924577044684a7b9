"""``homeport rm``: models leave the disk."""

import click

from homeport.cli.connection import connected
from homeport.cli.invocation import Invocation
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.text import harmless_line, write_json


@click.command("rm", epilog="\b\nExample:\n  homeport rm smollm2:135m")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@json_option
@pass_invocation
def rm(invocation: Invocation, *, models: tuple[str, ...], as_json: bool) -> None:
    """Remove models. The weights go with their last name."""
    with connected(invocation) as client:
        for model in models:
            client.ask("DELETE", "/api/delete", {"model": model})
            if not as_json:
                click.echo(f"deleted '{harmless_line(model)}'")
    if as_json:
        write_json({"deleted": list(models)})
