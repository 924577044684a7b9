import json
import sqlite3
from contextlib import closing

import pytest
from click.testing import CliRunner

from homeport import InvalidRequestError, RouteCall, Usage
from homeport_costguard.command import cost_command
from homeport_costguard.config import PriceSettings
from homeport_costguard.ledger_file import FILE_NAME, LedgerError

from .conftest import FREE, PRICES, config, request, run

BUDGETED = config(budgets={"team": {"scope": "agent", "hard_usd": 1.0, "soft_tokens": 5}})


@pytest.fixture
async def spent(opened, tmp_path):
    """A ledger with three attempts: two paid, by an agent and with tags, one free."""
    async with opened(BUDGETED) as guard:
        await run(guard, request(agent="scribe", tags=("complex", "=cmd()")))
        await run(guard, request(agent="scribe", job="j"))
        await run(guard, who=FREE, usage=Usage(prompt_tokens=100, completion_tokens=50))
    return tmp_path


@pytest.fixture
def cost(tmp_path):
    """Run ``homeport cost`` on the ledger."""

    def call(*arguments, settings=BUDGETED):
        done = CliRunner().invoke(cost_command(settings, state=tmp_path), arguments)
        assert done.exit_code == 0, done.output
        return done.output

    return call


def by_name(report, field="micro_usd"):
    return {row["name"]: row[field] for row in report["rows"]}


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("day", {"2026-11-21": 38}),
        ("model", {"own": 0, "paid": 38}),
        ("agent", {"": 0, "scribe": 38}),
        ("job", {"": 19, "j": 19}),
        ("tag", {"=cmd()": 19, "complex": 19}),
        ("key", {"none": 38}),
        ("class", {"complex": 19}),
    ],
)
def test_sums_by_each_group(spent, cost, by, expected):
    """Money is summed exactly, whatever rows are made of."""
    report = json.loads(cost("report", "--by", by, "--json"))
    assert by_name(report) == expected
    assert (report["total"]["micro_usd"], report["total"]["calls"]) == (38, 3)


def test_class_rows_stand_beside_their_goals(spent, cost):
    """A complex item may cost 0.02 USD."""
    (row,) = json.loads(cost("report", "--by", "class", "--json"))["rows"]
    assert (row["item_usd"], row["goal_usd"]) == ("0.000019", "0.020000")


def test_days_bound_the_report(spent, cost):
    """Both days belong to it."""
    assert json.loads(cost("report", "--since", "2026-11-22", "--json"))["rows"] == []
    on_the_day = ("--since", "2026-11-21", "--until", "2026-11-21")
    assert json.loads(cost("report", *on_the_day, "--json"))["total"]["calls"] == 3


def test_savings_name_model_and_day_or_are_not_told(spent, cost):
    """Saved is the price of the same tokens at a reference, less the cost; undated it is not told."""
    assert "SAVED" not in cost("report")
    assert json.loads(cost("report", "--json"))["total"]["saved_usd"] is None
    assert "SAVED" not in cost("report", settings=config(reference_model="unpriced"))
    text = cost("report", settings=config(reference_model="paid"))
    assert "Saved against paid at its price of 2026-11-01." in text
    assert text.splitlines()[-2].split()[-1] == "0.000200"


def test_spreadsheets_compute_nothing_that_a_client_sent(spent, cost):
    """CSV has one line per row, and a name that begins like a formula is quoted."""
    lines = cost("report", "--by", "tag", "--csv").splitlines()
    assert lines[0].startswith("name,calls,failed")
    assert [line.partition(",")[0] for line in lines[1:]] == ["'=cmd()", "complex"]


def test_budgets_tell_what_is_spent_and_when_they_reset(spent, cost):
    """Each counted unit of each account has a line."""
    # The command asks the calendar, and the ledger of this test is of another day.
    lasting = config(
        budgets={"team": {"scope": "agent", "period": "total", "hard_usd": 1.0, "soft_tokens": 5}}
    )
    text = cost("budgets", settings=lasting)
    assert "agent scribe" in text
    assert "0.000038 USD" in text
    assert text.splitlines()[-1].split()[-1] == "never"
    told = json.loads(cost("budgets", "--json", settings=lasting))["budgets"]
    assert {state["unit"] for state in told} == {
        "micro_usd",
        "tokens",
    }


def test_ledger_that_is_not_there_yet_is_empty(cost):
    """Before the first attempt there is nothing to tell."""
    assert json.loads(cost("report", "--json"))["rows"] == []
    assert "Nothing has been counted" in cost("budgets")


def test_changed_row_is_reported(spent, cost):
    """An entry that somebody changed behind the ledger's back is found by its checksum."""
    with closing(sqlite3.connect(spent / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE entries SET micro_usd = 0 WHERE model = 'paid' AND job = 'j'")
    assert json.loads(cost("report", "--json"))["damaged"] == 1
    assert "1 entries have a wrong checksum and are in no sum" in cost("report")


@pytest.mark.parametrize("by", ["day", "tag", "class", "agent"])
@pytest.mark.parametrize(
    "change",
    [
        "micro_usd = 10000000",
        "tags = '{bad'",
        "day = 'x026-11-21'",
        "agent = CAST(x'ff41' AS TEXT)",
        "request = CAST(1.5 AS REAL)",
    ],
)
def test_damaged_row_is_in_no_sum(spent, cost, by, change):
    """Whatever is damaged in an entry, the others are summed, and one is told to be wrong."""
    with closing(sqlite3.connect(spent / FILE_NAME)) as connection, connection:
        connection.execute(f"UPDATE entries SET {change} WHERE model = 'paid' AND job = 'j'")
    report = json.loads(cost("report", "--by", by, "--json"))
    assert (report["damaged"], report["total"]["calls"], report["total"]["micro_usd"]) == (1, 2, 19)
    assert sum(by_name(report).values()) == {"tag": 38}.get(by, 19)


def test_names_of_clients_do_not_steer_the_terminal(cost, opened, tmp_path):
    """Escapes in names are shown as question marks."""
    import asyncio  # noqa: PLC0415

    async def spend():
        async with opened() as guard:
            await run(guard, request(agent="\x1b[31mred\ud800"))

    asyncio.run(spend())
    assert "?[31mred?" in cost("report", "--by", "agent")


async def test_route_answers_while_the_guard_writes(opened, clock):
    """The report reads the ledger beside the thread that writes it."""
    async with opened(BUDGETED) as guard:
        await run(guard, request(agent="scribe"))
        found = await guard.answer(RouteCall(query={"by": "agent"}))
    assert [(row.name, row.micro_usd) for row in found.rows] == [("scribe", 19)]
    assert found.budgets[0].budget == "team"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"by": "planet"}, "by must be one of day, model"),
        ({"since": "yesterday"}, "since must be a day"),
        ({"sort": "x"}, "unknown parameter 'sort'"),
    ],
)
async def test_wrong_parameter_is_named(opened, query, message):
    """A report that was asked for wrongly is refused with what is allowed."""
    async with opened() as guard:
        with pytest.raises(InvalidRequestError, match=message):
            await guard.answer(RouteCall(query=query))


async def test_ledger_that_is_none_cannot_be_reported(opened, tmp_path):
    """A foreign file is told, and not touched."""
    (tmp_path / FILE_NAME).write_bytes(b"x" * 5000)
    async with opened() as guard:
        with pytest.raises(LedgerError, match="cannot be read"):
            await guard.answer(RouteCall(query={}))
    assert (tmp_path / FILE_NAME).read_bytes() == b"x" * 5000


def test_prices_of_the_tests_are_dated():
    """What savings are told against has a day."""
    assert PRICES["paid"] == PriceSettings(input=1.0, output=2.0, as_of="2026-11-01", source="a test")
