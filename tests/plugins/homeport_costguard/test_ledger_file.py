import sqlite3
import stat
from contextlib import closing, suppress

import pytest

from homeport import Attempt
from homeport_costguard import writer
from homeport_costguard.ledger_file import FILE_NAME, LedgerError, open_for_reading, open_ledger

from .conftest import FREE, USED, candidate, request, run
from .ledger_view import check_sums, rows, spent

MOST_UNTIL_FULL = 2000


def test_new_ledger_is_for_the_user_alone_and_durable(tmp_path):
    """Nobody else reads who asked what, and a commit is on the disk when it returns."""
    path = tmp_path / FILE_NAME
    with closing(open_ledger(path)) as connection:
        pragmas = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "user_version")
        ]
    assert pragmas == ["wal", 2, 1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_charge_is_on_the_disk_before_it_is_acknowledged(opened):
    """A reservation only has to be seen by others: what loses power releases it anyway."""
    async with opened() as guard:
        seen = []
        for charge in (False, True, False):
            await guard._writer.submit(lambda book: book.recover(), is_durable=charge)
            seen.append(guard._writer._ledger._connection.execute("PRAGMA synchronous").fetchone()[0])
    assert seen == [1, 2, 1]


@pytest.mark.parametrize("damage", ["foreign", "torn"])
async def test_damaged_ledger_is_set_aside_under_a_dated_name(opened, tmp_path, log, damage):
    """It is kept byte by byte, an error names it, and a new one is begun."""
    async with opened() as guard:
        for _ in range(200):
            await run(guard)
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    broken = b"no database at all" if damage == "foreign" else whole[:4096] + b"\xff" * 12288 + whole[16384:]
    path.write_bytes(broken)
    async with opened() as guard:
        await run(guard)
    (aside,) = tmp_path.glob("ledger.damaged-*.sqlite3")
    assert aside.read_bytes() == broken
    assert any(line.startswith("ERROR") and aside.name in line for line in log)
    assert spent(tmp_path)[3] == 1


async def test_ledger_that_is_damaged_while_it_is_in_use_loses_no_charge(opened, tmp_path, log):
    """What has run is charged in the new ledger that is begun, and nobody sees an error of the database."""
    path = tmp_path / FILE_NAME
    async with opened() as guard:
        for _ in range(200):
            await run(guard)
        attempt = Attempt(request=request(), candidate=candidate())
        async with guard.attempt(attempt):
            with closing(sqlite3.connect(path)) as other:
                other.execute("INSERT INTO facts VALUES ('a test', '')")
                other.commit()
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            whole = path.read_bytes()
            path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
            attempt.usage = USED
        with suppress(LedgerError):
            await run(guard)
        await run(guard)
    assert len(list(tmp_path.glob("ledger.damaged-*.sqlite3"))) == 1
    assert spent(tmp_path)[3] == 3
    check_sums(tmp_path)


async def test_free_entries_do_not_push_out_paid_ones_while_nothing_can_be_written(
    opened, tmp_path, monkeypatch, log
):
    """Of what cannot be written, that which costs nothing is left out first."""
    monkeypatch.setattr(writer, "MOST_WAITING", 20)
    async with opened() as guard:
        ledger = guard._writer._ledger
        attempt = Attempt(request=request(), candidate=candidate())
        async with guard.attempt(attempt):
            ledger.close()
            ledger._file = tmp_path / "nowhere" / FILE_NAME
            attempt.usage = USED
        for _ in range(100):
            await run(guard, who=FREE)
            guard._writer._start()
            await guard._writer._round()
        assert len(guard._writer._held) == 20
        ledger._file = tmp_path / FILE_NAME
    assert len([line for line in log if "cannot be opened" in line and "settled" not in line]) == 1
    assert any("can be written again" in line for line in log)
    assert rows(tmp_path, "SELECT model, count(*) FROM entries GROUP BY 1") == [("own", 19), ("paid", 1)]
    check_sums(tmp_path)


def test_ledger_of_a_later_version_is_refused_and_left_alone(tmp_path):
    """An older homeport neither reads nor changes it."""
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for opening in (open_ledger, open_for_reading):
        with pytest.raises(LedgerError, match="version 99; this homeport reads up to 1"):
            opening(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


async def test_full_disk_loses_no_answer_that_was_paid_for(opened, tmp_path, log):
    """Where no page can be added nothing new is sent; what has run is charged once there is room again."""
    finished = 0
    async with opened() as guard:
        await run(guard)
        connection = guard._writer._ledger._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        while not any("disk is full" in line for line in log) and finished < MOST_UNTIL_FULL:
            with suppress(LedgerError):
                await run(guard)
                finished += 1
        await run(guard)
    assert any("disk is full" in line for line in log)
    assert spent(tmp_path)[3] == finished + 2
    assert rows(tmp_path, "SELECT * FROM reservations") == []
    check_sums(tmp_path)
