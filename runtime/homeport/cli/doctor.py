"""``homeport doctor``: what could go wrong, with a fix each."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import attrs
import click

from homeport.cli.application import EXIT_FAILED
from homeport.cli.checks.finding import Finding, State, failed, ok, warning
from homeport.cli.checks.machine import machine_findings
from homeport.cli.checks.models import model_findings
from homeport.cli.checks.network import network_findings
from homeport.cli.checks.packages import package_findings
from homeport.cli.checks.plugins import plugin_findings
from homeport.cli.invocation import Invocation
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.settings_check import faults
from homeport.cli.terminal import make_console
from homeport.cli.text import harmless_line, write_json
from homeport.config.logs import silence_logs
from homeport.domain.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

_MARKS: Mapping[State, tuple[str, str]] = {
    State.OK: ("ok", "green"),
    State.WARNING: ("warning", "yellow"),
    State.FAILED: ("FAILED", "bold red"),
}
_STATE_WIDTH = 9


@click.command("doctor", epilog="\b\nExample:\n  homeport doctor --json")
@json_option
@pass_invocation
def doctor(invocation: Invocation, *, as_json: bool) -> None:
    """Look for what could go wrong here, and say how to mend it. Exits 1 if a check failed.

    Every file of the installed models and their builds is hashed, which takes about 0.3 s per 500 MB.
    """
    silence_logs()
    findings = tuple(examine(invocation))
    if as_json:
        write_json({"findings": [attrs.asdict(finding) for finding in findings]})
    else:
        console = make_console()
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            _print(console, finding, width)
    if any(finding.state is State.FAILED for finding in findings):
        raise click.exceptions.Exit(EXIT_FAILED)


def examine(invocation: Invocation) -> Iterator[Finding]:
    """Run all checks. Where the settings cannot be read, store, plugins and port are not looked at."""
    yield from package_findings()
    found = faults(invocation)
    for fault in found:
        yield failed(
            "settings", fault, fix="Mend the place it names; `homeport config schema` describes all keys"
        )
    try:
        loaded = invocation.load()
    except ConfigError:
        return
    if not found:
        yield ok("settings", "all can be read")
    for text in loaded.warnings:
        yield warning("settings", text, fix="Unset it, or correct its name")
    yield from machine_findings(loaded.settings.home)
    yield from model_findings(loaded.settings.home)
    yield from plugin_findings(loaded.settings)
    yield from network_findings(loaded)


def _print(console: "Console", finding: Finding, width: int) -> None:
    from rich.text import Text  # noqa: PLC0415

    word, style = _MARKS[finding.state]
    line = Text.assemble(
        (f"{word:{_STATE_WIDTH}}", style), f"{finding.check:{width}}  ", harmless_line(finding.detail)
    )
    console.print(line, soft_wrap=True)
    if finding.fix:
        indent = " " * (_STATE_WIDTH + width + 2)
        console.print(Text(f"{indent}-> {harmless_line(finding.fix)}"), soft_wrap=True)
