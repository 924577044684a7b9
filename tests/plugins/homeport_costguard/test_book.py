import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from homeport import BudgetError
from homeport_costguard.amounts import Amounts
from homeport_costguard.book import Book
from homeport_costguard.budgets import Budgets, period_key
from homeport_costguard.config import BudgetSettings, CostGuardConfig, Period
from homeport_costguard.labels import Labels
from homeport_costguard.ledger_file import open_ledger
from homeport_costguard.records import Charge, Reservation

NAMES = st.sampled_from(["", "a", "b"])
LABELS = st.builds(
    Labels,
    key=st.sampled_from(["none", "k"]),
    agent=NAMES,
    job=NAMES,
    tags=st.lists(st.sampled_from(["x", "y"]), unique=True).map(tuple),
    model=st.sampled_from(["m", "n"]),
    is_remote=st.booleans(),
)
MONEY, TOKENS = st.integers(0, 40), st.integers(0, 30)
BUDGETS = {
    "all": BudgetSettings(hard_usd=100e-6, hard_tokens=90),
    "agent": BudgetSettings(scope="agent", period="month", hard_usd=60e-6, soft_calls=2),
    "a": BudgetSettings(scope="agent", match="a", period="total", hard_calls=5),
    "tag": BudgetSettings(scope="tag", hard_tokens=50),
}
SPENT = "spent_micro_usd, spent_tokens, spent_cpu_ms, spent_calls"
RESERVED = "reserved_micro_usd, reserved_tokens, reserved_cpu_ms, reserved_calls"


class Accounts(RuleBasedStateMachine):
    """Reserves, charges and releases at will, beside sums in plain dictionaries."""

    def __init__(self):
        super().__init__()
        self.now = datetime(2026, 11, 29, 12, tzinfo=UTC)
        self.latest = self.now
        self.budgets = Budgets(CostGuardConfig(budgets=BUDGETS))
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        from homeport_costguard import ledger_file  # noqa: PLC0415

        self.connection.executescript(ledger_file._TABLES)
        self.book = Book(self.connection, self.budgets, lambda: self.now)
        self.held = {}
        self.spent = {}
        self.overdrawn = {}
        self.count = 0

    def teardown(self):
        self.connection.close()

    @rule(labels=LABELS, money=MONEY, tokens=TOKENS)
    def reserve(self, labels, money, tokens):
        """What fits is held, what does not is refused by a budget without room."""
        self.count += 1
        reservation = Reservation(
            attempt=str(self.count), labels=labels, most=Amounts(micro_usd=money, tokens=tokens, calls=1)
        )
        try:
            booking = self.book.reserve(reservation)
        except BudgetError:
            return
        self.held[reservation.attempt] = (reservation, booking.day)

    @rule(data=st.data(), share=st.floats(0, 1), extra=st.sampled_from([0, 0, 0, 5]))
    def charge(self, data, share, extra):
        """An attempt takes a part of what was held, or a little more; twice told is once charged."""
        if not self.held:
            return
        name = data.draw(st.sampled_from(sorted(self.held)))
        reservation, day = self.held.pop(name)
        most = reservation.most
        share = 1.0 if extra else share
        charge = Charge(
            attempt=name,
            labels=reservation.labels,
            completion_tokens=int(most.tokens * share) + extra,
            micro_usd=int(most.micro_usd * share) + extra,
        )
        booking = self.book.charge(charge)
        assert booking.over == (extra > 0)
        assert booking.day == day
        for account in accounts(reservation.labels, day):
            self.spent[account] = self.spent.get(account, Amounts()) + charge.amounts
            if extra:
                self.overdrawn[account] = self.overdrawn.get(account, 0) + extra
        if data.draw(st.booleans()):
            self.book.charge(charge)

    @rule(data=st.data())
    def release(self, data):
        """An attempt that took nothing leaves nothing."""
        if self.held:
            name = data.draw(st.sampled_from(sorted(self.held)))
            del self.held[name]
            self.book.release(name)
            self.book.release(name)

    @rule(hours=st.integers(-30, 30))
    def turn_the_clock(self, hours):
        """Wall time moves on, or jumps back."""
        self.now += timedelta(hours=hours)

    @invariant()
    def accounts_are_sums_of_attempts(self):
        """Each account equals what its attempts took and hold."""
        reserved = {}
        for reservation, day in self.held.values():
            for account in accounts(reservation.labels, day):
                reserved[account] = reserved.get(account, Amounts()) + reservation.most
        rows = self.connection.execute(f"SELECT scope, value, period, {SPENT}, {RESERVED} FROM accounts")
        found = {tuple(row[:3]): tuple(row[3:]) for row in rows}
        for account, amounts in found.items():
            expected = self.spent.get(account, Amounts()).values() + reserved.get(account, Amounts()).values()
            assert amounts == expected
        assert set(self.spent) | set(reserved) <= set(found)

    @invariant()
    def no_cap_is_exceeded(self):
        """Spent and reserved stay within every hard cap, but for what took more than it had reserved."""
        for budget in self.budgets.all:
            rows = self.connection.execute(
                f"SELECT value, period, {SPENT}, {RESERVED} FROM accounts WHERE scope = ?",
                (budget.scope.value,),
            )
            for value, period, *amounts in rows:
                if not budget.covers(budget.scope.value, value) or not is_of(period, budget.period):
                    continue
                sums = [spent + reserved for spent, reserved in zip(amounts[:4], amounts[4:], strict=True)]
                total = Amounts(micro_usd=sums[0], tokens=sums[1], cpu_ms=sums[2], calls=sums[3])
                more = self.overdrawn.get((budget.scope.value, value, period), 0)
                assert all(amount <= cap + more for _, amount, cap in budget.hard.pairs(total))


def accounts(labels, day):
    return [
        (scope, value, period_key(period, day)) for scope, value in labels.accounts() for period in Period
    ]


def is_of(key, period):
    return (
        period
        is {len("total"): Period.TOTAL, len("2026-11"): Period.MONTH, len("2026-11-21"): Period.DAY}[len(key)]
    )


TestAccounts = Accounts.TestCase
TestAccounts.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.fixture
def book(tmp_path, clock):
    """A book on a file, inside a transaction."""
    budgets = Budgets(CostGuardConfig(budgets={"day": BudgetSettings(hard_calls=1)}))
    with closing(open_ledger(tmp_path / "ledger.sqlite3")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield Book(connection, budgets, clock)


def reservation(name):
    return Reservation(attempt=name, labels=Labels(model="m"), most=Amounts(calls=1))


def test_clock_that_jumps_back_does_not_reopen_a_spent_day(book, clock):
    """The ledger's day never goes back; it goes on when the clock has caught up."""
    book.charge(Charge(attempt="1", labels=Labels(model="m")))
    clock.now -= timedelta(days=2)
    with pytest.raises(BudgetError, match="day"):
        book.reserve(reservation("2"))
    clock.now += timedelta(days=3)
    book.reserve(reservation("3"))


def test_attempt_over_midnight_is_charged_to_its_day(book, clock):
    """What was reserved on one day is spent on that day."""
    first = book.reserve(reservation("1")).day
    clock.now += timedelta(days=1)
    assert book.charge(Charge(attempt="1", labels=Labels(model="m"))).day == first
    book.reserve(reservation("2"))


def test_reservation_of_a_dead_process_is_released_when_room_is_short(book):
    """What nobody will charge any more keeps nobody out."""
    book._process = "1:0:gone"
    book.reserve(reservation("1"))
    book._process = "1:1:gone"
    book.reserve(reservation("2"))
    book._process = "self"
    assert book.recover() == 1
