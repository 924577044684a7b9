"""What the ledger says: sums by day, model, agent, job, tag, key or class, and how budgets stand."""

import csv
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import attrs

from homeport_costguard.amounts import MILLISECONDS, Amounts
from homeport_costguard.book import Book, Taken
from homeport_costguard.budgets import Account, Bound, Budget, Budgets, period_key
from homeport_costguard.config import CostGuardConfig
from homeport_costguard.ledger_file import LedgerError, open_for_reading
from homeport_costguard.money import micro_usd, usd_text
from homeport_costguard.prices import CURRENCY, Price, PriceTable
from homeport_costguard.question import Question
from homeport_costguard.records import checksum

GOALS_USD = {"simple": 0.0, "standard": 0.0, "complex": 0.02, "critical": 0.05}
"""What an item of each class may cost; its class is a tag of its requests."""
_COLUMNS = {"day": "day", "model": "model", "agent": "agent", "job": "job", "key": "key"}

_SUMS = (
    "count(*), sum(outcome = 'failed'), sum(outcome = 'cancelled'), sum(prompt_tokens), "
    "sum(cached_tokens), sum(completion_tokens), sum(cpu_ms), sum(micro_usd), sum(over), sum(estimate)"
)
_WHERE = "WHERE day BETWEEN ? AND ? AND entries.rowid NOT IN (SELECT value FROM json_each(?))"
"""First day, last day, and the numbers of damaged entries."""
_FROM = f"FROM entries {_WHERE}"
# SQLite may read the tags of an entry before it leaves the entry out, and they may be no JSON any more.
_FROM_TAGS = f"FROM entries, json_each(CASE WHEN json_valid(tags) THEN tags ELSE '[]' END) AS tag {_WHERE}"


@attrs.frozen(kw_only=True)
class Row:
    """Sums of some attempts.

    Attributes:
        name: Day, model, agent, job, tag, key or class; empty stands for attempts that have none.
        calls: Attempts.
        failed: Those of them that broke off.
        cancelled: Those of them whose client left.
        prompt_tokens: Tokens of prompts.
        cached_tokens: Those of them that servers knew.
        completion_tokens: Tokens of answers.
        cpu_seconds: Computed on this machine.
        micro_usd: Cost, in millionths of a US dollar.
        usd: The same, for people.
        over: Attempts that took more than was reserved for them.
        estimated: Attempts whose backend told no usage, so that their worst case is charged.
        saved_usd: What the same tokens would have cost at the reference model, less the cost; None without
            such a model.
        goal_usd: What one item of this class may cost; None for all other groups.
        item_usd: What one item of this class cost; likewise.
    """

    name: str
    calls: int = 0
    failed: int = 0
    cancelled: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cpu_seconds: float = 0.0
    micro_usd: int = 0
    usd: str = "0.000000"
    over: int = 0
    estimated: int = 0
    saved_usd: str | None = None
    goal_usd: str | None = None
    item_usd: str | None = None


@attrs.frozen(kw_only=True)
class Reference:
    """The model that savings are told against, and when its price was looked up."""

    model: str
    as_of: str
    source: str


@attrs.frozen(kw_only=True)
class BudgetState:
    """How a budget stands on one account.

    Attributes:
        budget: Its name.
        scope: What it counts together.
        value: Whose account it is.
        period: Which one.
        unit: What is counted: micro_usd, tokens, cpu_ms, calls.
        spent: Charged.
        reserved: Held for attempts that run.
        hard: Its cap; None where there is only a soft one.
        soft: Its soft cap; None where there is none.
        resets_at: When it begins anew, in UTC; None is never.
    """

    budget: str
    scope: str
    value: str
    period: str
    unit: str
    spent: int
    reserved: int
    hard: int | None
    soft: int | None
    resets_at: datetime | None


@attrs.frozen(kw_only=True)
class Report:
    """The answer to a question.

    Attributes:
        by: What rows are made of.
        currency: Of all money.
        rows: Sums, by name.
        total: Of all attempts; rows by tag or class add up to more or less than it.
        damaged: Entries of the whole ledger whose checksum is wrong; they are in no sum.
        reference: What ``saved_usd`` is told against.
        budgets: How budgets stand.
    """

    by: str
    currency: str
    rows: tuple[Row, ...]
    total: Row
    damaged: int
    reference: Reference | None
    budgets: tuple[BudgetState, ...]


def report(file: Path, config: CostGuardConfig, question: Question, now: datetime) -> Report:
    """Answer a question; blocks while it reads.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    priced = _reference(config)
    reference = priced[0] if priced else None
    nothing = Report(
        by=question.by,
        currency=CURRENCY,
        rows=(),
        total=Row(name="total"),
        damaged=0,
        reference=reference,
        budgets=(),
    )
    connection = open_for_reading(file)
    if connection is None:
        return nothing
    price = priced[1] if priced else None
    try:
        connection.execute("BEGIN")
        damaged = _damaged(connection)
        span = (question.since.isoformat(), question.until.isoformat(), json.dumps(damaged))
        return attrs.evolve(
            nothing,
            rows=tuple(_rows(connection, question.by, span, price)),
            total=_row("total", connection.execute(f"SELECT {_SUMS} {_FROM}", span).fetchone(), price),
            damaged=len(damaged),
            budgets=tuple(_budget_states(connection, config, now)),
        )
    except sqlite3.Error as error:
        raise LedgerError(f"the ledger {str(file)!r} cannot be read: {error}") from error
    finally:
        connection.close()


def csv_text(found: Report) -> str:
    """Write the rows of a report for spreadsheets."""
    text = io.StringIO()
    names = [field.name for field in attrs.fields(Row)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([[_harmless(value) for value in attrs.astuple(row)] for row in found.rows])
    return text.getvalue()


_FORMULA_SIGNS = frozenset("=+-@\t\r")
_FIGURE = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def _harmless(value: object) -> object:
    """Keep a spreadsheet from computing what a client sent as a name; figures stay figures."""
    is_formula = isinstance(value, str) and value[:1] in _FORMULA_SIGNS and not _FIGURE.fullmatch(value)
    return f"'{value}" if is_formula else value


def _rows(
    connection: sqlite3.Connection, by: str, span: tuple[str, str, str], price: Price | None
) -> Iterator[Row]:
    if by in _COLUMNS:
        statement = f"SELECT {_COLUMNS[by]}, {_SUMS} {_FROM} GROUP BY 1 ORDER BY 1"
    else:
        statement = f"SELECT tag.value, {_SUMS} {_FROM_TAGS} GROUP BY 1 ORDER BY 1"
    for name, *sums in connection.execute(statement, span):
        row = _row(name, sums, price)
        if by != "class":
            yield row
        elif name in GOALS_USD:
            goal, item = usd_text(micro_usd(GOALS_USD[name])), usd_text(row.micro_usd // max(row.calls, 1))
            yield attrs.evolve(row, goal_usd=goal, item_usd=item)


def _row(name: str, sums: "tuple[int | None, ...] | list[int | None]", price: Price | None) -> Row:
    calls, failed, cancelled, prompt, cached, completion, cpu_ms, micro, over, estimated = (
        value or 0 for value in sums
    )
    saved = None
    if price is not None:
        saved = usd_text(price.cost(prompt_tokens=prompt, completion_tokens=completion) - micro)
    return Row(
        name=name,
        calls=calls,
        failed=failed,
        cancelled=cancelled,
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=completion,
        cpu_seconds=cpu_ms / MILLISECONDS,
        micro_usd=micro,
        usd=usd_text(micro),
        over=over,
        estimated=estimated,
        saved_usd=saved,
    )


def _damaged(connection: sqlite3.Connection) -> list[int]:
    """Find damaged entries in all of the ledger: what is damaged may be the day."""
    rows = connection.execute("SELECT rowid, * FROM entries")
    return [number for number, *row, sum_ in rows if checksum(tuple(row)) != sum_]


def _reference(config: CostGuardConfig) -> tuple[Reference, Price] | None:
    """Find the model that savings are told against; without its price and date none are told."""
    price = PriceTable(config).find(config.reference_model) if config.reference_model else None
    if price is None:
        return None
    return Reference(model=config.reference_model, as_of=price.as_of, source=price.source), price


def _budget_states(
    connection: sqlite3.Connection, config: CostGuardConfig, now: datetime
) -> Iterator[BudgetState]:
    """Tell of each budget's accounts of today, this month and in all."""
    budgets = Budgets(config)
    book = Book(connection, budgets)
    day = _ledger_day(connection, now)
    for budget in budgets.all:
        period = period_key(budget.period, day)
        statement = "SELECT value FROM accounts WHERE scope = ? AND period = ? ORDER BY value"
        for (value,) in connection.execute(statement, (budget.scope.value, period)).fetchall():
            if budget.covers(budget.scope.value, value):
                account = Account(budget.scope.value, value, period)
                yield from _units(budget, account, book.taken(account), day)


def _units(budget: Budget, account: Account, taken: Taken, day: str) -> Iterator[BudgetState]:
    resets_at = Bound(budget=budget, account=account).resets_at(date.fromisoformat(day))
    for field in attrs.fields(Amounts):
        hard, soft = getattr(budget.hard, field.name), getattr(budget.soft, field.name)
        if hard is None and soft is None:
            continue
        yield BudgetState(
            budget=budget.name,
            scope=account.scope,
            value=account.value,
            period=account.period,
            unit=field.name,
            spent=getattr(taken.spent, field.name),
            reserved=getattr(taken.reserved, field.name),
            hard=hard,
            soft=soft,
            resets_at=resets_at,
        )


def _ledger_day(connection: sqlite3.Connection, now: datetime) -> str:
    row = connection.execute("SELECT value FROM facts WHERE name = 'last_day'").fetchone()
    today = now.astimezone(UTC).date().isoformat()
    return max(today, str(row[0])) if row else today
