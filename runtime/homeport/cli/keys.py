"""``homeport keys``: the API keys of this homeport."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from homeport.cli import figures
from homeport.cli.invocation import Invocation, warn_of
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.text import columns, write_json

if TYPE_CHECKING:
    from homeport.cli.client import JsonObject
    from homeport.config.loading import LoadedSettings
    from homeport.server.key_file import KeyFile, StoredKey

HEADER = ("NAME", "SCOPES", "KEY", "CREATED")
_SCOPES = ("infer", "monitor", "admin")


@click.group("keys", epilog="\b\nExample:\n  homeport keys create laptop")
def keys() -> None:
    """Make, list and revoke the API keys of this homeport.

    They stand as hashes in keys.json of homeport's folder; a server that runs there notices every change.
    """


@keys.command("create", epilog="\b\nExample:\n  homeport keys create grafana --scope monitor")
@click.argument("name")
@click.option(
    "--scope", "scopes", type=click.Choice(_SCOPES), multiple=True, default=("infer",), show_default=True,
    help="What it is for: asking models, reading figures, or everything. Repeatable.",
)  # fmt: skip
@json_option
@pass_invocation
def create(invocation: Invocation, *, name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a key called NAME and print it, this once."""
    from homeport.server.scopes import Scope  # noqa: PLC0415 - with what it needs 60 ms

    loaded = invocation.load()
    file = _file(loaded)
    was_open = not file.read() and not loaded.settings.server.api_key
    new = file.create(name, {Scope(scope) for scope in scopes})
    if was_open:
        _warn_of_the_first(scopes)
    if as_json:
        write_json({"key": new.secret, **_told(new.stored)})
        return
    click.echo(new.secret)
    click.echo("Keep it now: it cannot be shown again. Programs take it from HOMEPORT_API_KEY.", err=True)


@keys.command("list", epilog="\b\nExample:\n  homeport keys list --json")
@json_option
@pass_invocation
def list_keys(invocation: Invocation, *, as_json: bool) -> None:
    """List the keys with what they are for, oldest first; of a key its last characters are known."""
    stored = _file(invocation.load()).read()
    if as_json:
        write_json({"keys": [_told(key) for key in stored]})
        return
    now = datetime.now(UTC)
    click.echo(columns(HEADER, (_row(key, now) for key in stored)))


@keys.command("revoke", epilog="\b\nExample:\n  homeport keys revoke laptop")
@click.argument("name")
@pass_invocation
def revoke(invocation: Invocation, *, name: str) -> None:
    """Take the key called NAME away; a running server refuses it from the next request on."""
    left = _file(invocation.load()).revoke(name)
    click.echo(f"revoked {name!r}")
    if not left:
        click.echo(
            "No key is left: a server that is started without one lets this machine in, and no other",
            err=True,
        )


def _warn_of_the_first(scopes: tuple[str, ...]) -> None:
    """Say what the first key changes for those who needed none before."""
    click.echo("From now on every client of this server needs a key, this command line too.", err=True)
    if "admin" not in scopes:
        click.echo(
            "A key with scope infer may ask models, but not pull or remove them. "
            "For the command line make one with: homeport keys create NAME --scope admin",
            err=True,
        )


def _file(loaded: "LoadedSettings") -> "KeyFile":
    from homeport.server.key_file import FILE_NAME, KeyFile  # noqa: PLC0415 - with what it needs 60 ms

    warn_of(loaded)
    return KeyFile(loaded.settings.home / FILE_NAME)


def _told(key: "StoredKey") -> "JsonObject":
    return {
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": key.created_at.isoformat(),
        "hint": key.hint,
    }


def _row(key: "StoredKey", now: datetime) -> tuple[str, ...]:
    return key.name, ",".join(key.scopes), f"…{key.hint}", figures.moment(key.created_at, now=now)
