"""``homeport ps``: which models are in memory."""

from datetime import UTC, datetime

import click

from homeport.cli import figures
from homeport.cli.answers import RunningModel, listed
from homeport.cli.client import JsonObject
from homeport.cli.connection import running_client
from homeport.cli.invocation import Invocation, warn_of
from homeport.cli.listing import SHOWN_DIGEST_DIGITS, begins
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.text import columns, write_json

HEADER = ("NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL")
"""Ollama's columns, which scripts read."""
MORE_HEADER = ("UP TO", "THREADS", "BUSY")


@click.command("ps", epilog="\b\nExample:\n  homeport ps --json")
@click.argument("prefix", default="")
@click.option("-v", "--verbose", is_flag=True, help="Add the columns UP TO, THREADS and BUSY.")
@json_option
@pass_invocation
def ps(invocation: Invocation, *, prefix: str, verbose: bool, as_json: bool) -> None:
    """List the models in memory, the one that stays longest first; only those that begin with PREFIX.

    SIZE is what a model holds now. With -v, UP TO is what it was granted, THREADS what it computes on, BUSY
    how many of its slots are at work. Where no server runs, there are none. JSON also tells what each
    computes in, its process, the most it ever held and whether it is pinned.
    """
    rows = [row for row in _running(invocation) if begins(row, prefix)]
    if as_json:
        write_json({"models": rows})
        return
    now = datetime.now(UTC)
    running = [RunningModel.from_wire(row) for row in rows]
    if verbose:
        click.echo(columns((*HEADER, *MORE_HEADER), ((*_row(each, now), *_more(each)) for each in running)))
    else:
        click.echo(columns(HEADER, (_row(each, now) for each in running)))


def _running(invocation: Invocation) -> list[JsonObject]:
    loaded = invocation.load()
    warn_of(loaded)
    client = running_client(loaded)
    if client.address.is_loopback and not client.is_answering():
        click.echo(f"No server runs at {client.address}.", err=True)
        return []
    return listed(client.ask("GET", "/api/ps"))


def _row(model: RunningModel, now: datetime) -> tuple[str, ...]:
    until = figures.moment(model.expires_at, now=now) if model.expires_at > now else "Stopping..."
    return (
        model.name,
        model.digest[:SHOWN_DIGEST_DIGITS],
        figures.size(model.size_bytes),
        _processor(model),
        str(model.context_length),
        until,
    )


def _more(model: RunningModel) -> tuple[str, ...]:
    """Write what a server such as Ollama does not tell."""
    return (
        figures.size(model.predicted_bytes) if model.predicted_bytes else "-",
        str(model.threads or "-"),
        f"{model.in_use}/{model.slots}" if model.slots else "-",
    )


def _processor(model: RunningModel) -> str:
    """Say where it computes, as Ollama does: in percent of its memory."""
    if model.accelerator_bytes <= 0 or model.size_bytes <= 0:
        return "100% CPU"
    accelerated = round(100 * min(model.accelerator_bytes / model.size_bytes, 1))
    return "100% GPU" if accelerated == 100 else f"{100 - accelerated}%/{accelerated}% CPU/GPU"  # noqa: PLR2004
