"""``homeport ps``: which models are in memory."""

from datetime import UTC, datetime

import click

from homeport.cli import figures
from homeport.cli.answers import RunningModel, listed
from homeport.cli.client import JsonObject
from homeport.cli.connection import running_client
from homeport.cli.invocation import Invocation, warn_of
from homeport.cli.listing import SHOWN_DIGEST_DIGITS
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.text import columns, write_json

HEADER = ("NAME", "ID", "SIZE", "UP TO", "PROCESSOR", "THREADS", "CONTEXT", "BUSY", "UNTIL")


@click.command("ps", epilog="\b\nExample:\n  homeport ps --json")
@json_option
@pass_invocation
def ps(invocation: Invocation, *, as_json: bool) -> None:
    """List the models in memory, the one that stays longest first.

    SIZE is what a model holds now, UP TO what it was granted, BUSY how many of its slots are at work.
    Where no server runs, there are none. JSON also tells what each computes in, its process, the most it
    ever held and whether it is pinned.
    """
    rows = _running(invocation)
    if as_json:
        write_json({"models": rows})
        return
    now = datetime.now(UTC)
    click.echo(columns(HEADER, (_row(RunningModel.from_wire(row), now) for row in rows)))


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
        figures.size(model.predicted_bytes) if model.predicted_bytes else "-",
        _processor(model),
        str(model.threads or "-"),
        str(model.context_length),
        f"{model.in_use}/{model.slots}" if model.slots else "-",
        until,
    )


def _processor(model: RunningModel) -> str:
    """Say where it computes, as Ollama does: in percent of its memory."""
    if model.accelerator_bytes <= 0 or model.size_bytes <= 0:
        return "100% CPU"
    accelerated = round(100 * min(model.accelerator_bytes / model.size_bytes, 1))
    return "100% GPU" if accelerated == 100 else f"{100 - accelerated}%/{accelerated}% CPU/GPU"  # noqa: PLR2004
