"""What is done to the ledger, inside a transaction that its caller holds."""

import json
import sqlite3
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime

import attrs

from homeport import BudgetError
from homeport_costguard.alerts import Alert, Reached
from homeport_costguard.amounts import UNITS, Amounts
from homeport_costguard.budgets import Account, Bound, Budgets, period_key
from homeport_costguard.config import Period
from homeport_costguard.labels import Labels
from homeport_costguard.owner_process import is_alive, this_process
from homeport_costguard.records import Charge, Reservation, checksum

_LAST_DAY = "last_day"

_RESERVED = tuple(f"reserved_{name}" for name in UNITS)
_SPENT = tuple(f"spent_{name}" for name in UNITS)


def _adding(columns: tuple[str, ...]) -> str:
    """Write the statement that adds amounts to columns of an account."""
    names = ", ".join(columns)
    sums = ", ".join(f"{name} = {name} + excluded.{name}" for name in columns)
    marks = ", ".join("?" * (3 + len(columns)))
    return (
        f"INSERT INTO accounts (scope, value, period, {names}) VALUES ({marks}) "  # noqa: S608 - our columns
        f"ON CONFLICT (scope, value, period) DO UPDATE SET {sums}"
    )


_ADD_RESERVED = _adding(_RESERVED)
_ADD_SPENT = _adding(_SPENT)
_READ_ACCOUNT = (
    f"SELECT {', '.join(_SPENT + _RESERVED)} FROM accounts "  # noqa: S608 - our columns
    "WHERE scope = ? AND value = ? AND period = ?"
)
_ADD_ENTRY = f"INSERT INTO entries VALUES ({', '.join('?' * 20)})"  # noqa: S608 - marks


@attrs.frozen
class Taken:
    """What is taken of an account.

    Attributes:
        spent: Charged.
        reserved: Held for attempts that run.
    """

    spent: Amounts
    reserved: Amounts

    @property
    def total(self) -> Amounts:
        """Both."""
        return self.spent + self.reserved


@attrs.frozen(kw_only=True)
class Booking:
    """What became of a reservation or a charge.

    Attributes:
        taken: How the accounts with bounds stand now.
        alerts: What was reached for the first time.
        day: It is accounted to.
        over: Whether more was charged than was reserved.
    """

    taken: tuple[tuple[Bound, Taken], ...] = ()
    alerts: tuple[Alert, ...] = ()
    day: str
    over: bool = False


@attrs.frozen(kw_only=True)
class _Held:
    """A reservation as it was written down."""

    day: str
    labels: Labels
    most: Amounts


def _now() -> datetime:
    return datetime.now(UTC)


class Book:
    """Reads and writes the tables of a ledger.

    Args:
        connection: To its file; transactions are the caller's.
        budgets: What bounds attempts.
        clock: Gives wall time in UTC; only its day counts.
    """

    def __init__(
        self, connection: sqlite3.Connection, budgets: Budgets, clock: Callable[[], datetime] = _now
    ) -> None:
        self._connection = connection
        self._budgets = budgets
        self._clock = clock
        self._reached = Reached(connection)
        self._process = this_process()

    def reserve(self, reservation: Reservation) -> Booking:
        """Hold what an attempt could take.

        Raises:
            BudgetError: It does not fit into every budget it falls under; nothing is held.
        """
        day = self._day()
        bounds = self._budgets.bounds(reservation.labels, day)
        refusal = self._refusal(bounds, reservation.most, day)
        if refusal is not None and self.recover():
            refusal = self._refusal(bounds, reservation.most, day)
        if refusal is not None:
            raise refusal
        return self.hold(reservation)

    def hold(self, reservation: Reservation) -> Booking:
        """Hold what an attempt could take, whether there is room for it or not: it runs already."""
        day = self._day()
        row = (reservation.attempt, self._process, day, _written(reservation.labels))
        self._connection.execute(
            "INSERT INTO reservations VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row + reservation.most.values()
        )
        self._add(_ADD_RESERVED, reservation.labels, day, reservation.most.values())
        taken = self._taken_of(self._budgets.bounds(reservation.labels, day))
        return Booking(taken=taken, alerts=self._alerts(taken, is_charged=False), day=day)

    def charge(self, charge: Charge) -> Booking:
        """Write down what an attempt took, and let go of what was held for it.

        One that was written down already is not charged again.
        """
        held = self._let_go(charge.attempt)
        day = held.day if held else self._day()
        over = held is not None and charge.amounts.exceeds(held.most)
        bounds = self._budgets.bounds(charge.labels, day)
        if not self._enter(charge, day, over=over):
            return Booking(taken=self._taken_of(bounds), day=day)
        self._add(_ADD_SPENT, charge.labels, day, charge.amounts.values())
        taken = self._taken_of(bounds)
        return Booking(taken=taken, alerts=self._alerts(taken, is_charged=True), day=day, over=over)

    def release(self, attempt: str) -> Booking:
        """Let go of what is held for an attempt that took nothing; of an unknown one nothing is held."""
        held = self._let_go(attempt)
        if held is None:
            return Booking(day=self._day())
        return Booking(taken=self._taken_of(self._budgets.bounds(held.labels, held.day)), day=held.day)

    def recover(self) -> int:
        """Let go of what is held for attempts of processes that are gone; gives how many there were."""
        rows = self._connection.execute("SELECT DISTINCT process FROM reservations").fetchall()
        gone = [process for (process,) in rows if not is_alive(process)]
        attempts = [
            attempt
            for process in gone
            for (attempt,) in self._connection.execute(
                "SELECT attempt FROM reservations WHERE process = ?", (process,)
            ).fetchall()
        ]
        for attempt in attempts:
            self._let_go(attempt)
        return len(attempts)

    def taken(self, account: Account) -> Taken:
        """Tell how an account stands."""
        row = self._connection.execute(_READ_ACCOUNT, attrs.astuple(account)).fetchone()
        if row is None:
            return Taken(Amounts(), Amounts())
        return Taken(_amounts(row[:4]), _amounts(row[4:]))

    def _day(self) -> str:
        """Give the day, which never goes back: a clock that does would open a spent budget again."""
        today = self._clock().date().isoformat()
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (_LAST_DAY,)).fetchone()
        if row is not None and row[0] >= today:
            return str(row[0])
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (_LAST_DAY, today))
        return today

    def _refusal(self, bounds: Iterable[Bound], most: Amounts, day: str) -> BudgetError | None:
        for bound in bounds:
            reason = bound.refusal(self.taken(bound.account).total, most)
            if reason:
                resets_at = bound.resets_at(date.fromisoformat(day))
                again = f"begins anew at {resets_at:%Y-%m-%d %H:%M} UTC" if resets_at else "never begins anew"
                hint = "Ask for fewer tokens or for a local model, or raise the cap"
                return BudgetError(f"{reason}; it {again}", resets_at=resets_at, hint=hint)
        return None

    def _let_go(self, attempt: str) -> "_Held | None":
        """Delete a reservation and give it; None where there is none."""
        row = self._connection.execute(
            "SELECT day, labels, micro_usd, tokens, cpu_ms, calls FROM reservations WHERE attempt = ?",
            (attempt,),
        ).fetchone()
        if row is None:
            return None
        self._connection.execute("DELETE FROM reservations WHERE attempt = ?", (attempt,))
        day, text, *amounts = row
        labels = _read(text)
        self._add(_ADD_RESERVED, labels, day, tuple(-amount for amount in amounts))
        return _Held(day=day, labels=labels, most=_amounts(amounts))

    def _enter(self, charge: Charge, day: str, *, over: bool) -> bool:
        labels = charge.labels
        row = (
            charge.attempt,
            self._clock().isoformat(timespec="milliseconds"),
            day,
            charge.request,
            labels.key,
            labels.agent,
            labels.job,
            json.dumps(labels.tags),
            labels.model,
            labels.backend,
            int(labels.is_remote),
            charge.outcome.value,
            charge.prompt_tokens,
            charge.cached_tokens,
            charge.completion_tokens,
            charge.cpu_ms,
            charge.micro_usd,
            int(over),
            int(charge.is_estimate),
        )
        known = self._connection.execute("SELECT 1 FROM entries WHERE attempt = ?", (charge.attempt,))
        if known.fetchone() is not None:
            return False
        self._connection.execute(_ADD_ENTRY, (*row, checksum(row)))
        return True

    def _add(self, statement: str, labels: Labels, day: str, amounts: tuple[int, ...]) -> None:
        """Add amounts to every account of an attempt, in each of its periods."""
        periods = [period_key(period, day) for period in Period]
        self._connection.executemany(
            statement,
            [(scope, value, period, *amounts) for scope, value in labels.accounts() for period in periods],
        )

    def _taken_of(self, bounds: Iterable[Bound]) -> tuple[tuple[Bound, Taken], ...]:
        return tuple((bound, self.taken(bound.account)) for bound in bounds)

    def _alerts(self, taken: Iterable[tuple[Bound, Taken]], *, is_charged: bool) -> tuple[Alert, ...]:
        """Find what was reached for the first time: soft caps by reserving, shares by charging."""
        alerts = []
        for bound, stand in taken:
            if is_charged:
                alerts += self._reached.shares(bound, stand.spent)
            else:
                alerts += self._reached.softened(bound, stand.total)
        return tuple(alerts)


def _amounts(row: Iterable[int]) -> Amounts:
    return Amounts(**dict(zip(UNITS, row, strict=True)))


def _written(labels: Labels) -> str:
    return json.dumps(attrs.asdict(labels))


def _read(text: str) -> Labels:
    values = json.loads(text)
    return Labels(**{**values, "tags": tuple(values["tags"])})
