"""Shares of caps, told once each: the ledger remembers which were."""

import sqlite3

import attrs

from homeport_costguard.amounts import Amounts
from homeport_costguard.budgets import Bound

PERCENTS = (50, 80, 90, 100)
"""Shares of a hard cap that are told once each."""
SOFT = 0
"""Stands among the percents for a soft cap."""


@attrs.frozen(kw_only=True)
class Alert:
    """A share of a cap that was reached for the first time.

    Attributes:
        bound: The budget and the account.
        unit: What it counts.
        percent: 50, 80, 90 or 100 of a hard cap, or ``SOFT`` for a soft one.
        amount: What is taken.
        cap: The bound.
    """

    bound: Bound
    unit: str
    percent: int
    amount: int
    cap: int


class Reached:
    """What was reached for the first time.

    Args:
        connection: To the ledger; transactions are the caller's.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def shares(self, bound: Bound, spent: Amounts) -> list[Alert]:
        """Find shares of hard caps that were reached for the first time; of several, the highest."""
        alerts = []
        for unit, amount, cap in bound.budget.hard.pairs(spent):
            reached = [percent for percent in PERCENTS if amount > 0 and amount * 100 >= cap * percent]
            fresh = [percent for percent in reached if self._is_new(bound, unit, percent)]
            if fresh:
                alerts.append(Alert(bound=bound, unit=unit, percent=fresh[-1], amount=amount, cap=cap))
        return alerts

    def softened(self, bound: Bound, total: Amounts) -> list[Alert]:
        """Find the soft caps that were exceeded for the first time."""
        return [
            Alert(bound=bound, unit=unit, percent=SOFT, amount=amount, cap=cap)
            for unit, amount, cap in bound.budget.soft.pairs(total)
            if amount > cap and self._is_new(bound, unit, SOFT)
        ]

    def _is_new(self, bound: Bound, unit: str, percent: int) -> bool:
        account = bound.account
        row = (bound.budget.name, account.value, account.period, unit, percent)
        return (
            self._connection.execute("INSERT OR IGNORE INTO alerts VALUES (?, ?, ?, ?, ?)", row).rowcount > 0
        )
