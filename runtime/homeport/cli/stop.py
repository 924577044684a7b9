"""``homeport stop``: a model leaves memory."""

import click

from homeport.cli.connection import running_client
from homeport.cli.invocation import Invocation, warn_of
from homeport.cli.options import pass_invocation


@click.command("stop", epilog="\b\nExample:\n  homeport stop smollm2:135m")
@click.argument("model")
@pass_invocation
def stop(invocation: Invocation, *, model: str) -> None:
    """Take a model out of memory once its running requests are done."""
    loaded = invocation.load()
    warn_of(loaded)
    running_client(loaded).ask("POST", "/api/generate", {"model": model, "keep_alive": 0, "stream": False})
