"""``homeport models``: what the names of models mean."""

import click

from homeport.cli.listing import list_models
from homeport.cli.resolve import resolve


@click.group("models", epilog="\b\nExample:\n  homeport models resolve tinyllama --explain")
def models() -> None:
    """Explain which model a name means, and list those that are installed."""


models.add_command(resolve)
models.add_command(list_models)
