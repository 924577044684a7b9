"""``homeport breakers``: which models on which backends are left alone, and the operator's hand on them."""

import click

from homeport.cli.client import JsonObject
from homeport.cli.connection import running_client
from homeport.cli.invocation import Invocation, warn_of
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.text import columns, write_json

HEADER = ("BACKEND", "MODEL", "STATE", "CALLS", "FAILED", "IN A ROW", "OPENED", "RETRY IN")


@click.group("breakers", invoke_without_command=True, epilog="\b\nExample:\n  homeport breakers --json")
@json_option
@click.pass_context
def breakers(ctx: click.Context, /, *, as_json: bool) -> None:
    """Show how every model on every backend did that was called, and which are left alone.

    A model that keeps failing on a backend is not called for a while; then one call tries it.
    """
    if ctx.invoked_subcommand is not None:
        return
    answer = _ask(ctx.ensure_object(Invocation), "GET", None)
    rows = answer.get("data") or []
    if as_json:
        write_json({"breakers": rows})
    else:
        click.echo(columns(HEADER, map(_row, rows)))


@breakers.command("open", epilog="\b\nExample:\n  homeport breakers open ollama llama3.2:1b")
@click.argument("backend")
@click.argument("model")
@pass_invocation
def force_open(invocation: Invocation, *, backend: str, model: str) -> None:
    """Do not call MODEL on BACKEND any more, until it is reset."""
    _command(invocation, backend, model, "open")


@breakers.command("reset", epilog="\b\nExample:\n  homeport breakers reset ollama llama3.2:1b")
@click.argument("backend")
@click.argument("model")
@pass_invocation
def reset(invocation: Invocation, *, backend: str, model: str) -> None:
    """Call MODEL on BACKEND again, as if it had not failed."""
    _command(invocation, backend, model, "reset")


def _command(invocation: Invocation, backend: str, model: str, action: str) -> None:
    body = {"backend": backend, "model": model, "action": action}
    click.echo(columns(HEADER, [_row(_ask(invocation, "POST", body))]))


def _ask(invocation: Invocation, method: str, body: JsonObject | None) -> JsonObject:
    loaded = invocation.load()
    warn_of(loaded)
    return running_client(loaded).ask(method, "/v1/breakers", body)


def _row(breaker: JsonObject) -> tuple[str, ...]:
    retry = breaker.get("time_until_retry") or 0
    state = "forced open" if breaker.get("is_forced") else str(breaker.get("state", ""))
    return (
        str(breaker.get("backend", "")),
        str(breaker.get("model", "")),
        state,
        str(breaker.get("total_requests", 0)),
        str(breaker.get("failed_requests", 0)),
        str(breaker.get("consecutive_failures", 0)),
        str(breaker.get("trip_count", 0)),
        f"{retry:.0f} s" if isinstance(retry, int | float) and retry > 0 else "-",
    )
