"""``homeport completion``: verbs and options completed by the shell."""

import click
from click.shell_completion import get_completion_class

from homeport.cli.application import homeport

_VARIABLE = "_HOMEPORT_COMPLETE"
"""What click looks for when the shell asks for completions."""


@click.command("completion", epilog='\b\nExample, for ~/.bashrc:\n  eval "$(homeport completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete homeport's verbs and options."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click completes nothing for {shell!r}")
    click.echo(kind(homeport, {}, "homeport", _VARIABLE).source())
