"""The one writer of the ledger: whoever waits at once shares a transaction and its fsync."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

import attrs
from loguru import logger

from homeport_costguard.book import Book
from homeport_costguard.budgets import Budgets
from homeport_costguard.ledger_file import LedgerError, open_ledger

MOST_TOGETHER = 256
"""Jobs of one transaction."""
NOTE_SECONDS = 0.5
"""How long what nobody waits for may lie until it is written."""
MOST_WAITING = 10_000
"""Jobs that lie while the file cannot be written, or is behind."""

ResultT = TypeVar("ResultT")
Work = Callable[[Book], ResultT]


@attrs.define(eq=False)
class _Job(Generic[ResultT]):
    """Something to do, and who waits for it.

    Attributes:
        work: What to do.
        future: Of who waits; None where nobody does.
        is_kept: Whether it is tried again when the file could not be written.
        is_durable: Whether it must outlive a loss of power. A reservation need not: it would be released.
    """

    work: Work[ResultT]
    future: "asyncio.Future[ResultT] | None" = None
    is_kept: bool = False
    is_durable: bool = False

    def settle(self, outcome: "ResultT | BaseException") -> None:
        """Tell whoever waits."""
        if self.future is None or self.future.done():
            return
        if isinstance(outcome, BaseException):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


_Outcomes = list[tuple[_Job[object], object]]


class LedgerWriter:
    """Runs work on the ledger, in order, in one thread; belongs to one event loop.

    What arrives while a transaction is being written waits for the next one together.

    Args:
        file: The ledger.
        budgets: What bounds attempts.
        clock: Gives wall time in UTC; None is the machine's.
    """

    def __init__(self, file: Path, budgets: Budgets, *, clock: Callable[[], datetime] | None = None) -> None:
        self._ledger = _Ledger(file, budgets, clock)
        self._waiting: list[_Job[object]] = []
        self._held: list[_Job[object]] = []
        self._running: asyncio.Future[_Outcomes] | None = None
        self._alarm: asyncio.Handle | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._is_behind = False

    def submit(
        self, work: Work[ResultT], *, is_kept: bool = False, is_durable: bool = False
    ) -> "asyncio.Future[ResultT]":
        """Do some work; the future is done once every process sees it.

        Args:
            work: Called with the book, in the thread.
            is_kept: Try again later where the file could not be written, beside telling so.
            is_durable: The future is done once it is on the disk.

        Raises:
            LedgerError: From the future: the file cannot be written.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ResultT] = loop.create_future()
        self._waiting.append(_Job(work, future, is_kept, is_durable))  # type: ignore[arg-type] # of any result
        if self._running is None:
            self._ring(loop.call_soon(self._start))
        return future

    def note(self, work: Work[object]) -> None:
        """Do some work soon; nobody waits for it."""
        is_behind = len(self._waiting) + len(self._held) >= MOST_WAITING
        if is_behind and not self._is_behind:
            logger.warning("the ledger is {} entries behind; what costs nothing is left out", MOST_WAITING)
        self._is_behind = is_behind
        if is_behind:
            return
        self._waiting.append(_Job(work, is_kept=True))
        if self._running is None and self._alarm is None:
            self._ring(asyncio.get_running_loop().call_later(NOTE_SECONDS, self._start))

    async def aclose(self) -> None:
        """Write what is left, and close the file."""
        while self._running is not None or self._waiting:
            self._start()
            await self._round()
        if self._held:
            self._start()
            await self._round()
        if self._held:
            logger.error("{} entries could not be written to the ledger and are lost", len(self._held))
        if self._executor is not None:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._ledger.close)
            self._executor.shutdown(wait=False)
            self._executor = None

    async def _round(self) -> None:
        """Wait for the transaction that is being written, and until everybody was told."""
        if self._running is not None:
            await asyncio.wait((self._running,))
        await asyncio.sleep(0)

    def _ring(self, alarm: asyncio.Handle) -> None:
        """Set when the next transaction begins."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = alarm

    def _start(self) -> None:
        """Begin a transaction, unless one is being written."""
        if self._running is not None or not (self._waiting or self._held):
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        batch = [*self._held, *self._waiting[:MOST_TOGETHER]]
        del self._waiting[:MOST_TOGETHER]
        self._held = []
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="cost-guard")
        loop = asyncio.get_running_loop()
        self._running = loop.run_in_executor(self._executor, _write, self._ledger, batch)
        self._running.add_done_callback(self._finished)

    def _finished(self, running: "asyncio.Future[_Outcomes]") -> None:
        """Tell everybody what came of their work, and go on with what arrived meanwhile."""
        self._running = None
        outcomes = running.result()
        failed = [job for job, outcome in outcomes if job.is_kept and isinstance(outcome, LedgerError)]
        self._held = [attrs.evolve(job, future=None) for job in failed]
        for job, outcome in outcomes:
            job.settle(outcome)
        if self._waiting:
            self._start()


class _Ledger:
    """The open file, as the thread sees it; opened on first use, and again after an error."""

    def __init__(self, file: Path, budgets: Budgets, clock: Callable[[], datetime] | None) -> None:
        self._file = file
        self._budgets = budgets
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._book: Book | None = None
        self._fault = ""

    @contextmanager
    def transaction(self, *, is_durable: bool) -> Iterator[Book]:
        """Hold the one write lock; what was done is whole at the end, and on the disk if it is to be durable.

        Raises:
            LedgerError: The file cannot be written.
        """
        try:
            connection, book = self._opened()
            connection.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            yield book
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.close()
            raise LedgerError(
                f"the ledger {str(self._file)!r} cannot be written: {error}",
                hint="See whether its disk is full, and whether the file may be written",
            ) from error
        except BaseException:
            self.close()
            raise

    @contextmanager
    def part(self) -> Iterator[None]:
        """Undo what is done within, and only that, where it fails."""
        connection, _ = self._opened()
        connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK TO part")
            raise
        finally:
            if connection.in_transaction:
                connection.execute("RELEASE part")

    def is_whole(self) -> bool:
        """Tell whether the transaction still stands: a full disk ends it."""
        return self._connection is not None and self._connection.in_transaction

    def tell(self, fault: str) -> None:
        """Log that the file cannot be written, or can again, once each: it is tried twice a second."""
        if fault and fault != self._fault:
            logger.error("{}", fault)
        elif self._fault and not fault:
            logger.info("the ledger can be written again")
        self._fault = fault

    def close(self) -> None:
        """Close the file; an open transaction is undone."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._book = None

    def _opened(self) -> tuple[sqlite3.Connection, Book]:
        if self._connection is None or self._book is None:
            self._connection = open_ledger(self._file)
            given = () if self._clock is None else (self._clock,)
            self._book = Book(self._connection, self._budgets, *given)
            self._recover(self._connection, self._book)
        return self._connection, self._book

    def _recover(self, connection: sqlite3.Connection, book: Book) -> None:
        connection.execute("BEGIN IMMEDIATE")
        count = book.recover()
        connection.execute("COMMIT")
        if count:
            logger.warning("{} reservations of processes that are gone were released", count)


def _write(ledger: _Ledger, jobs: Sequence[_Job[object]]) -> _Outcomes:
    """Do all jobs in one transaction; one that fails by itself harms no other."""
    outcomes: _Outcomes = []
    try:
        with ledger.transaction(is_durable=any(job.is_durable for job in jobs)) as book:
            outcomes.extend((job, _done(ledger, book, job)) for job in jobs)
    except Exception as error:  # noqa: BLE001 - whoever waits is told, and the writer goes on
        ledger.tell(str(error))
        return [(job, error) for job in jobs]
    ledger.tell("")
    return outcomes


def _done(ledger: _Ledger, book: Book, job: _Job[object]) -> object:
    try:
        with ledger.part():
            return job.work(book)
    except Exception as error:
        if not ledger.is_whole():
            raise
        return error
