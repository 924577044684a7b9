"""The ledger's file: its tables, how it is opened, and what happens to a damaged one."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from loguru import logger

from homeport import HomeportError

FILE_NAME = "ledger.sqlite3"
VERSION = 1
"""``user_version`` of the tables below."""
BUSY_SECONDS = 10.0
"""How long another process may hold the file."""
JOURNAL_BYTES = 16 * 1024**2
"""What is kept of the write-ahead log once it was written back."""
_PAUSE_SECONDS = 0.01
_SIDE_FILES = ("-wal", "-shm")

_TABLES = """
CREATE TABLE entries (
    attempt TEXT PRIMARY KEY, at TEXT NOT NULL, day TEXT NOT NULL, request TEXT NOT NULL,
    key TEXT NOT NULL, agent TEXT NOT NULL, job TEXT NOT NULL, tags TEXT NOT NULL,
    model TEXT NOT NULL, backend TEXT NOT NULL, remote INTEGER NOT NULL, outcome TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cpu_ms INTEGER NOT NULL, micro_usd INTEGER NOT NULL, over INTEGER NOT NULL, estimate INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE INDEX entries_by_day ON entries (day);
CREATE TABLE reservations (
    attempt TEXT PRIMARY KEY, process TEXT NOT NULL, day TEXT NOT NULL, labels TEXT NOT NULL,
    micro_usd INTEGER NOT NULL, tokens INTEGER NOT NULL, cpu_ms INTEGER NOT NULL, calls INTEGER NOT NULL
);
CREATE TABLE accounts (
    scope TEXT NOT NULL, value TEXT NOT NULL, period TEXT NOT NULL,
    spent_micro_usd INTEGER NOT NULL DEFAULT 0, spent_tokens INTEGER NOT NULL DEFAULT 0,
    spent_cpu_ms INTEGER NOT NULL DEFAULT 0, spent_calls INTEGER NOT NULL DEFAULT 0,
    reserved_micro_usd INTEGER NOT NULL DEFAULT 0, reserved_tokens INTEGER NOT NULL DEFAULT 0,
    reserved_cpu_ms INTEGER NOT NULL DEFAULT 0, reserved_calls INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, value, period)
) WITHOUT ROWID;
CREATE TABLE alerts (
    budget TEXT NOT NULL, value TEXT NOT NULL, period TEXT NOT NULL, unit TEXT NOT NULL,
    percent INTEGER NOT NULL,
    PRIMARY KEY (budget, value, period, unit, percent)
) WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class LedgerError(HomeportError):
    """The ledger cannot be read or written, so nothing that costs or counts may run."""

    code = "ledger"
    status = 503
    trips_breaker = False
    public_text = "costs cannot be accounted for at the moment, so nothing that costs anything is sent"


class _DamagedError(Exception):
    """The file is no ledger any more."""


def open_ledger(path: Path) -> sqlite3.Connection:
    """Open a ledger to write it; make it where there is none, and set a damaged one aside.

    Raises:
        LedgerError: It cannot be opened, or is of a later homeport.
    """
    with _opening(path):
        try:
            return _opened(path)
        except _DamagedError as error:
            aside = _set_aside(path)
            logger.error(
                "the ledger {} is damaged ({}) and was set aside as {}; a new one begins with nothing spent",
                path,
                error,
                aside.name,
            )
        try:
            return _opened(path)
        except _DamagedError as error:
            raise LedgerError(f"the ledger {str(path)!r} cannot be made anew: {error}") from error


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """Let one process at a time open a ledger: two that find it damaged must not set the new one aside."""
    try:
        handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LedgerError(f"the ledger {str(path)!r} cannot be opened: {error}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def open_for_reading(path: Path) -> sqlite3.Connection | None:
    """Open a ledger to read it, while others write it; None where there is none.

    Raises:
        LedgerError: It cannot be read.
    """
    if not path.is_file():
        return None
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        try:
            _check_version(connection, path)
            # A damaged text must not keep the others from being read; its checksum tells.
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise LedgerError(f"the ledger {str(path)!r} cannot be read: {error}") from error
    return connection


def _opened(path: Path) -> sqlite3.Connection:
    try:
        # Created by us, for the user alone: SQLite would obey the umask.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"the ledger {str(path)!r} cannot be opened: {error}") from error
    try:
        _prepare(connection, path)
    except sqlite3.OperationalError as error:
        connection.close()
        raise LedgerError(f"the ledger {str(path)!r} cannot be written: {error}") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _DamagedError(str(error)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    _keep_log_ahead(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES:d}")
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise _DamagedError(found)
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _check_version(connection, path) == 0:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION:d}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _keep_log_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log; for that SQLite does not wait for others by itself."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        message = f"the ledger {str(path)!r} is of version {version}; this homeport reads up to {VERSION}"
        raise LedgerError(message, hint="Upgrade with: pip install --upgrade homeport")
    return version


def _set_aside(path: Path) -> Path:
    """Give a file, and what belongs to it, a name that says when it was found damaged."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.stem}.damaged-{moment}{path.suffix}")
    try:
        path.rename(aside)
        for end in _SIDE_FILES:
            side = path.with_name(path.name + end)
            if side.exists():
                side.rename(aside.with_name(aside.name + end))
    except OSError as error:
        raise LedgerError(f"the damaged ledger {str(path)!r} cannot be set aside: {error}") from error
    return aside
