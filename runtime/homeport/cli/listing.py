"""``homeport list``: which models are installed."""

from datetime import UTC, datetime

import click

from homeport.cli import figures
from homeport.cli.answers import InstalledModel, listed
from homeport.cli.client import JsonObject
from homeport.cli.connection import connected
from homeport.cli.invocation import Invocation
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.text import columns, write_json

HEADER = ("NAME", "ID", "SIZE", "MODIFIED")
ORIGIN = "ORIGIN"
"""A further column, there only where a model lies in the place of another program."""
SHOWN_DIGEST_DIGITS = 12


@click.command("list", epilog="\b\nExample:\n  homeport list smollm2")
@click.argument("prefix", default="")
@click.option("--all", "with_aliases", is_flag=True, help="List every name of a model, not only its first.")
@json_option
@pass_invocation
def list_models(invocation: Invocation, *, prefix: str, with_aliases: bool, as_json: bool) -> None:
    """List installed models, newest first; only those whose name begins with PREFIX."""
    with connected(invocation) as client:
        rows = listed(client.ask("GET", "/api/tags"))
    chosen = [row for row in rows if begins(row, prefix) and (with_aliases or not row.get("alias_of"))]
    if as_json:
        write_json({"models": chosen})
        return
    now = datetime.now(UTC)
    lines = [_row(InstalledModel.from_wire(row), now) for row in chosen]
    origins = [str(row.get("origin") or "") for row in chosen]
    if not any(origins):
        click.echo(columns(HEADER, lines))
        return
    marked = ((*line, origin) for line, origin in zip(lines, origins, strict=True))
    click.echo(columns((*HEADER, ORIGIN), marked))


def begins(row: JsonObject, prefix: str) -> bool:
    """Say whether the name of a listed model begins so, in any case."""
    return str(row.get("name", "")).lower().startswith(prefix.lower())


def _row(model: InstalledModel, now: datetime) -> tuple[str, ...]:
    return (
        model.name,
        model.digest[:SHOWN_DIGEST_DIGITS],
        figures.size(model.size_bytes),
        figures.moment(model.modified_at, now=now),
    )
