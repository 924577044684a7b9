"""``homeport cost``: reads the ledger, whether a server runs or not."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import attrs
import click

from homeport_costguard.budgets import shown
from homeport_costguard.config import CostGuardConfig
from homeport_costguard.ledger_file import FILE_NAME
from homeport_costguard.question import GROUPS, Question
from homeport_costguard.report import BudgetState, Report, Row, csv_text, report

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
_GAP = "  "


def cost_command(config: CostGuardConfig, *, state: Path) -> click.Group:
    """Build the verb.

    Args:
        config: The settings.
        state: Folder of the ledger.
    """

    def asked(**given: str | None) -> Report:
        question = Question.parse({name: value for name, value in given.items() if value is not None})
        return report(state / FILE_NAME, config, question, datetime.now(UTC))

    @click.group("cost", epilog="\b\nExample:\n  homeport cost report --by model")
    def cost() -> None:
        """Show what was spent, and how budgets stand. Reads the ledger; needs no server."""

    @cost.command("report", epilog="\b\nExample:\n  homeport cost report --by agent --since 2026-11-01 --csv")
    @click.option(
        "--by", type=click.Choice(GROUPS), default="day", show_default=True, help="What rows are made of."
    )
    @click.option("--since", metavar="DAY", help="First day, as 2026-11-21, in UTC.")
    @click.option("--until", metavar="DAY", help="Last day, which belongs to it.")
    @_json_option
    @click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for spreadsheets.")
    def report_command(by: str, since: str | None, until: str | None, *, as_json: bool, as_csv: bool) -> None:
        """Print sums of attempts, tokens, CPU time and money."""
        if as_json and as_csv:
            raise click.UsageError("--json and --csv exclude each other")
        found = asked(by=by, since=since, until=until)
        if as_csv:
            click.echo(csv_text(found), nl=False)
        else:
            click.echo(_json(attrs.asdict(found)) if as_json else report_text(found))

    @cost.command("budgets", epilog="\b\nExample:\n  homeport cost budgets --json")
    @_json_option
    def budgets_command(*, as_json: bool) -> None:
        """Print what is spent and reserved of each budget, and when it begins anew."""
        found = asked()
        states = [attrs.asdict(state) for state in found.budgets]
        click.echo(_json({"budgets": states}) if as_json else budgets_text(found))

    return cost


def report_text(found: Report) -> str:
    """Lay a report out for people."""
    rows = [*found.rows, found.total]
    header: tuple[str, ...] = (
        found.by.upper(),
        "CALLS",
        "FAILED",
        "PROMPT",
        "ANSWER",
        "CPU S",
        found.currency,
    )
    cells = [_cells(row) for row in rows]
    if found.reference is not None:
        header = (*header, "SAVED")
        cells = [(*line, row.saved_usd or "") for line, row in zip(cells, rows, strict=True)]
    lines = [_table(header, cells)]
    if found.reference is not None:
        reference = found.reference
        lines.append(f"Saved against {reference.model} at its price of {reference.as_of}.")
    if found.damaged:
        lines.append(
            f"{found.damaged} entries have a wrong checksum and are in no sum: "
            "the file was changed or is damaged."
        )
    return "\n".join(lines)


def budgets_text(found: Report) -> str:
    """Lay the budgets out for people."""
    if not found.budgets:
        return "Nothing has been counted by any budget yet."
    header = ("BUDGET", "OF", "PERIOD", "SPENT", "RESERVED", "CAP", "SOFT CAP", "RESETS")
    return _table(header, [_budget_cells(state) for state in found.budgets])


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name or "-",
        str(row.calls),
        str(row.failed),
        str(row.prompt_tokens),
        str(row.completion_tokens),
        f"{row.cpu_seconds:.1f}",
        row.usd,
    )


def _budget_cells(state: BudgetState) -> tuple[str, ...]:
    def amount(value: int | None) -> str:
        return "-" if value is None else shown(state.unit, value)

    resets = f"{state.resets_at:%Y-%m-%d %H:%M} UTC" if state.resets_at else "never"
    of = f"{state.scope} {state.value}"
    sums = (amount(state.spent), amount(state.reserved), amount(state.hard), amount(state.soft))
    return (state.budget, of, state.period, *sums, resets)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay rows out in columns; names come from clients, so nothing in them may steer the terminal."""
    lines = [tuple(header), *(tuple(_printable(cell) for cell in row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    laid = (_GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in laid)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=_spelt)


def _spelt(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"cannot write {value!r} as JSON")
