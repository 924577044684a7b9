"""What a test looks up in a ledger that was closed."""

import sqlite3
from contextlib import closing

from homeport_costguard.ledger_file import FILE_NAME

SPENT = "spent_micro_usd, spent_tokens, spent_cpu_ms, spent_calls"
RESERVED = "reserved_micro_usd, reserved_tokens, reserved_cpu_ms, reserved_calls"


def rows(folder, statement, *values):
    """Ask a ledger."""
    with closing(sqlite3.connect(folder / FILE_NAME, timeout=20)) as connection:
        return connection.execute(statement, values).fetchall()


def spent(folder):
    """Sums of all that was spent: money, tokens, CPU time, calls."""
    found = rows(folder, f"SELECT {SPENT} FROM accounts WHERE scope = 'global' AND period = 'total'")
    return found[0] if found else (0, 0, 0, 0)


def check_sums(folder):
    """Compare every account with the entries and the reservations it is made of."""
    entries = "sum(micro_usd), sum(prompt_tokens + completion_tokens), sum(cpu_ms), count(*)"
    whole = rows(folder, f"SELECT {entries} FROM entries")[0]
    assert tuple(value or 0 for value in whole) == spent(folder)
    held = rows(folder, "SELECT sum(micro_usd), sum(tokens), sum(cpu_ms), sum(calls) FROM reservations")[0]
    reserved = rows(folder, f"SELECT {RESERVED} FROM accounts WHERE scope = 'global' AND period = 'total'")
    assert tuple(value or 0 for value in held) == (reserved[0] if reserved else (0, 0, 0, 0))
    for period in ("length(period) = 10", "length(period) = 7", "period = 'total'"):
        for scope in ("key", "model"):
            sums = "sum(spent_micro_usd), sum(spent_tokens), sum(spent_cpu_ms), sum(spent_calls)"
            parts = rows(folder, f"SELECT {sums} FROM accounts WHERE scope = ? AND {period}", scope)[0]
            assert tuple(value or 0 for value in parts) == spent(folder)
