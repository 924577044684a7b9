"""``homeport --version``: which homeport this is, and which one serves."""

from importlib.metadata import version

import click

from homeport.cli.client import AnswerError, Client, NoServerError
from homeport.cli.connection import running_client
from homeport.cli.invocation import Invocation
from homeport.cli.text import harmless_line
from homeport.domain.errors import ConfigError

_PATIENCE_SECONDS = 5.0


def print_versions(invocation: Invocation) -> None:
    """Print the version of the server, or our own where none runs, and warn where they differ."""
    own = version("homeport")
    try:
        name, served = _served(running_client(invocation.load()).impatient(_PATIENCE_SECONDS))
    except (NoServerError, ConfigError):
        click.echo(f"homeport version is {own}")
        click.echo("Warning: could not connect to a running homeport", err=True)
        return
    except AnswerError as error:
        click.echo(f"homeport version is {own}")
        click.echo(f"Warning: the server does not tell its version: {error.message}", err=True)
        return
    click.echo(f"{name} version is {served}")
    if (name, served) != ("homeport", own):
        click.echo(f"Warning: client version is {own}", err=True)


def _served(client: Client) -> tuple[str, str]:
    """Ask who serves, and its version; what has no health route of ours is an Ollama."""
    try:
        told = client.ask("GET", "/healthz").get("version")
    except AnswerError as error:
        if not error.is_not_found:
            raise
        return "ollama", harmless_line(str(client.ask("GET", "/api/version").get("version")))
    return "homeport", harmless_line(str(told))
