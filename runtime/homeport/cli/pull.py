"""``homeport pull``: a model comes to the disk."""

import click

from homeport.cli.answers import PullProgress
from homeport.cli.client import AnswerError, Client
from homeport.cli.connection import connected
from homeport.cli.invocation import Invocation
from homeport.cli.options import pass_invocation
from homeport.cli.pull_display import progress_display
from homeport.cli.text import write_json_line

_LAST_STATUS = "success"


@click.command("pull", epilog="\b\nExample:\n  homeport pull smollm2:135m")
@click.argument("model")
@click.option("--force", is_flag=True, help="Fetch it again, also where it is installed.")
@click.option("--json", "as_json", is_flag=True, help="Print each step as a line of JSON, for programs.")
@pass_invocation
def pull(invocation: Invocation, *, model: str, force: bool, as_json: bool) -> None:
    """Download a model and convert it for this machine."""
    with connected(invocation) as client:
        if as_json:
            _pull_for_program(client, model, force=force)
        else:
            pull_model(client, model, force=force)


def pull_model(client: Client, model: str, *, force: bool = False) -> None:
    """Pull a model and show the progress on standard error.

    Raises:
        AnswerError: It cannot be found, fetched or converted.
    """
    with progress_display() as display, client.stream("/api/pull", _body(model, force=force)) as steps:
        last = ""
        for step in steps:
            progress = PullProgress.from_wire(step)
            display(progress)
            last = progress.status
    _check_end(client, last)


def ensure_model(client: Client, model: str) -> None:
    """Pull a model unless the server offers it.

    Raises:
        AnswerError: It is neither offered nor found anywhere.
    """
    try:
        client.ask("POST", "/api/show", {"model": model})
    except AnswerError as error:
        if not error.is_not_found:
            raise
        pull_model(client, model)


def _pull_for_program(client: Client, model: str, *, force: bool) -> None:
    last = ""
    with client.stream("/api/pull", _body(model, force=force)) as steps:
        for step in steps:
            write_json_line(step)
            last = PullProgress.from_wire(step).status
    _check_end(client, last)


def _body(model: str, *, force: bool) -> dict[str, object]:
    return {"model": model, "force": True} if force else {"model": model}


def _check_end(client: Client, last: str) -> None:
    if last != _LAST_STATUS:
        raise AnswerError(
            f"{client.address} broke off the pull after {last!r}", http_status=200, hint="Pull again to go on"
        )
