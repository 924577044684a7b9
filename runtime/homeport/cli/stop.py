"""``homeport stop``: a model leaves memory."""

import click

from homeport.cli.connection import running_client
from homeport.cli.invocation import Invocation, warn_of
from homeport.cli.model_completion import installed_models
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.text import write_json


@click.command("stop", epilog="\b\nExample:\n  homeport stop smollm2:135m")
@click.argument("model", shell_complete=installed_models)
@json_option
@pass_invocation
def stop(invocation: Invocation, *, model: str, as_json: bool) -> None:
    """Take a model out of memory once its running requests are done."""
    loaded = invocation.load()
    warn_of(loaded)
    running_client(loaded).ask("POST", "/api/generate", {"model": model, "keep_alive": 0, "stream": False})
    if as_json:
        write_json({"stopped": model})
