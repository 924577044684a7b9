"""``homeport pull``: a model comes to the disk."""

from contextlib import closing

import click

from homeport.cli.connection import connected
from homeport.cli.invocation import Invocation
from homeport.cli.options import pass_invocation
from homeport.cli.pulling import pull_model, pull_steps
from homeport.cli.text import write_json_line
from homeport.domain.quantisation import Quantisation


@click.command("pull", epilog="\b\nExample:\n  homeport pull smollm2:135m")
@click.argument("model")
@click.option("--force", is_flag=True, help="Fetch it again, also where it is installed.")
@click.option(
    "--quant",
    type=click.Choice([quantisation.value for quantisation in Quantisation]),
    help="What to make of its weights; the setting models.quant where not given.",
)
@click.option("--insecure", is_flag=True, hidden=True, help="Accepted for Ollama's sake.")
@click.option("--json", "as_json", is_flag=True, help="Print each step as a line of JSON, for programs.")
@pass_invocation
def pull(
    invocation: Invocation, *, model: str, force: bool, quant: str | None, insecure: bool, as_json: bool
) -> None:
    """Download a model and convert it for this machine."""
    with connected(invocation) as client:
        if not as_json:
            pull_model(client, model, force=force, quant=quant, insecure=insecure)
            return
        work = pull_steps(client, model, force=force, quant=quant, insecure=insecure)
        with closing(work) as steps:
            for step in steps:
                write_json_line(step)
