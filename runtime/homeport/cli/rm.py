"""``homeport rm``: models leave the disk."""

import click

from homeport.cli.answers import listed
from homeport.cli.client import AnswerError, Client
from homeport.cli.connection import connected
from homeport.cli.invocation import Invocation
from homeport.cli.model_completion import installed_models
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.text import harmless_line, write_json

_OLLAMAS_STORE = "ollama-store"
"""Origin of models that lie in Ollama's own folder."""


@click.command("rm", epilog="\b\nExample:\n  homeport rm smollm2:135m")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, shell_complete=installed_models)
@json_option
@pass_invocation
def rm(invocation: Invocation, *, models: tuple[str, ...], as_json: bool) -> None:
    """Remove models. The weights go with their last name."""
    with connected(invocation) as client:
        for model in models:
            _remove(client, model)
            if not as_json:
                click.echo(f"deleted '{harmless_line(model)}'")
    if as_json:
        write_json({"deleted": list(models)})


def _remove(client: Client, model: str) -> None:
    """Remove one model.

    Raises:
        AnswerError: It is not there, or is another's; says how it is removed there.
    """
    try:
        client.ask("DELETE", "/api/delete", {"model": model})
    except AnswerError as error:
        if not error.is_not_found or not _is_ollamas(client, model):
            raise
        name = harmless_line(model)
        raise AnswerError(
            f"{name!r} is Ollama's: it lies in Ollama's folder, which homeport only reads",
            http_status=error.http_status,
            hint=f"Remove it there: ollama rm {name}",
        ) from error


def _is_ollamas(client: Client, model: str) -> bool:
    names = {model.lower(), f"{model}:latest".lower()}
    try:
        rows = listed(client.ask("GET", "/api/tags"))
    except AnswerError:  # then the first refusal says more
        return False
    return any(
        row.get("origin") == _OLLAMAS_STORE and str(row.get("name", "")).lower() in names for row in rows
    )
