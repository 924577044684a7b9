"""``homeport config``: the settings, where each came from, and whether they are right."""

import click

from homeport.cli.application import EXIT_FAILED
from homeport.cli.client import AnswerError
from homeport.cli.connection import running_client
from homeport.cli.invocation import Invocation, warn_of
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.settings_check import faults
from homeport.cli.settings_view import ShownSetting, shown_settings, shown_value
from homeport.cli.text import columns, harmless_line, write_json
from homeport.config.logs import silence_logs
from homeport.config.schema import settings_schema
from homeport.domain.errors import ConfigError
from homeport.plugin.manager import load_plugins


@click.group("config", epilog="\b\nExample:\n  homeport config show --verbose")
def config() -> None:
    """Show, check, describe and reload the settings of homeport.toml, the environment and the flags."""


@config.command("show", epilog="\b\nExample:\n  homeport --config other.toml config show")
@click.option("--origin/--no-origin", default=True, show_default=True, help="Say where each value was set.")
@click.option("-v", "--verbose", is_flag=True, help="Add the values that a stronger one overrides.")
@json_option
@pass_invocation
def show(invocation: Invocation, *, origin: bool, verbose: bool, as_json: bool) -> None:
    """Print every setting in effect. Secrets are hidden."""
    loaded = invocation.load()
    warn_of(loaded)
    silence_logs()
    settings = shown_settings(loaded, load_plugins(loaded.settings).config_classes())
    if as_json:
        write_json({setting.path: _fields(setting) for setting in settings})
        return
    header = ("SETTING", "VALUE", "ORIGIN") if origin else ("SETTING", "VALUE")
    rows = [row[: len(header)] for setting in settings for row in _rows(setting, verbose=verbose)]
    click.echo(columns(header, rows))


@config.command("check", epilog="\b\nExample:\n  homeport --config new.toml config check")
@pass_invocation
def check(invocation: Invocation) -> None:
    """Check all settings, those of plugins too. Exits 1 with a line per fault."""
    silence_logs()
    found = faults(invocation)
    for fault in found:
        click.echo(harmless_line(fault))
    if found:
        raise click.exceptions.Exit(EXIT_FAILED)
    click.echo("OK")


@config.command("schema", epilog="\b\nExample:\n  homeport config schema > homeport.schema.json")
@pass_invocation
def schema(invocation: Invocation) -> None:
    """Print the JSON Schema of homeport.toml, the tables of installed plugins included."""
    silence_logs()
    write_json(settings_schema(load_plugins(invocation.load().settings).config_classes()))


@config.command("reload", epilog="\b\nExample:\n  homeport config reload")
@pass_invocation
def reload(invocation: Invocation) -> None:
    """Let the running server read its settings anew.

    It reads the file, the environment and the flags that it was started with. Exits 1 with a line per fault
    if they are wrong; then the server goes on as before.
    """
    try:
        loaded = invocation.load()
        answer = running_client(loaded).ask("POST", "/v1/config/reload")
    except (AnswerError, ConfigError) as error:
        faults = error.faults if isinstance(error, AnswerError) else tuple(str(error).splitlines())
        if not faults:
            raise
        for fault in faults:
            click.echo(harmless_line(fault))
        click.echo("Nothing has changed: the server goes by its old settings.", err=True)
        raise click.exceptions.Exit(EXIT_FAILED) from error
    applied, late = _texts(answer.get("applied")), _texts(answer.get("needs_restart"))
    for path in applied:
        click.echo(f"{path}: in force now")
    for path in late:
        click.echo(f"{path}: needs a restart")
    for warning in _texts(answer.get("warnings")):
        click.echo(f"Warning: {warning}", err=True)
    if not applied and not late:
        click.echo("Nothing has changed.")


def _texts(values: object) -> list[str]:
    return [harmless_line(str(value)) for value in values] if isinstance(values, list) else []


def _rows(setting: ShownSetting, *, verbose: bool) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [(setting.path, setting.text, setting.origin)]
    if verbose:
        rows += [("", shown_value(value), f"overridden: {origin}") for value, origin in setting.overridden]
    return rows


def _fields(setting: ShownSetting) -> dict[str, object]:
    overridden = [{"value": value, "origin": origin} for value, origin in setting.overridden]
    return {"value": setting.value, "origin": setting.origin, "overridden": overridden}
