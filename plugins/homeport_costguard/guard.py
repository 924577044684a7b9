"""The guard: no attempt runs that its budgets have no room for, and every one is written down."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from homeport import Attempt, Candidate, RefusedError, Request, RouteCall
from homeport_costguard.alerts import SOFT, Alert
from homeport_costguard.book import Booking, Taken
from homeport_costguard.budgets import Bound, Budgets, shown
from homeport_costguard.config import CostGuardConfig
from homeport_costguard.ledger_file import FILE_NAME
from homeport_costguard.plan import Plan, Pricing
from homeport_costguard.ranking import Spending, rank
from homeport_costguard.records import Charge, Reservation
from homeport_costguard.writer import LedgerWriter

if TYPE_CHECKING:
    from homeport_costguard.budgets import Account

REMEMBERED_ATTEMPTS = 100
"""The last ones, of which the router counts the local ones."""
_MOST_REMEMBERED_ACCOUNTS = 10_000
_KNOWN_SECONDS = 5.0
"""How long routing goes by what the ledger told last: another process may have made room."""


class CostGuard:
    """Guard, router ``cost`` and route ``/v1/costs``.

    Args:
        config: The settings.
        state: Folder of the ledger.
        clock: Gives wall time in UTC; None is the machine's.

    Raises:
        ConfigError: The file of prices cannot be used.
    """

    def __init__(
        self, config: CostGuardConfig, *, state: Path, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._config = config
        self._file = state / FILE_NAME
        self._pricing = Pricing(config)
        self._budgets = Budgets(config)
        self._clock = clock or (lambda: datetime.now(UTC))
        self._writer = LedgerWriter(self._file, self._budgets, clock=clock)
        self._recent: deque[bool] = deque(maxlen=REMEMBERED_ATTEMPTS)
        self._known: dict[Account, tuple[Taken, float]] = {}
        self._unheld: dict[str, tuple[Plan, Reservation]] = {}
        self._day = ""

    def objection(self, request: Request, candidate: Candidate) -> str:
        """Say why an attempt would be refused, as far as it is known without asking the ledger."""
        refusal = self._pricing.refusal(candidate)
        if refusal:
            return refusal
        if not self._known:
            return ""
        plan = self._pricing.plan(request, candidate)
        since = asyncio.get_running_loop().time() - _KNOWN_SECONDS
        known = self._known_bounds(plan, since=since)
        reasons = (bound.refusal(taken.total, plan.most) for bound, taken in known)
        return next(filter(None, reasons), "")

    @asynccontextmanager
    async def attempt(self, attempt: Attempt) -> AsyncIterator[Request | None]:
        """Reserve the worst case, and charge what was used.

        Raises:
            BudgetError: A budget has no room for the worst case.
            RefusedError: The model is remote and has no price.
            LedgerError: It costs or counts, and the ledger cannot be written.
        """
        pricing = self._pricing
        plan = pricing.plan(attempt.request, attempt.candidate)
        reservation = plan.reservation()
        bounded = None
        if self._must_hold(plan):
            await self._hold(reservation)
            bounded = pricing.bounded(attempt.request)
        else:
            self._unheld[reservation.attempt] = plan, reservation
        self._recent.append(plan.labels.is_remote)
        raised: BaseException | None = None
        try:
            yield bounded
        except BaseException as cause:
            raised = cause
            raise
        finally:
            # One that is left with its usage known and no error noted has given its whole answer.
            error = attempt.error or (raised if attempt.usage is None else None)
            charge = pricing.charge(plan, attempt, reservation.attempt, error)
            if self._unheld.pop(reservation.attempt, None) is None:
                await self._settle(reservation.attempt, charge, error)
            elif charge is not None:
                self._writer.note(lambda book: book.charge(charge))

    def rank(self, request: Request, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Order candidates by what they cost, the local ones first unless the request is complex."""
        remote = sum(self._recent)
        spending = Spending(local=len(self._recent) - remote, remote=remote, share=self._share_taken)
        return rank(self._config, self._pricing, spending, request, candidates)

    async def answer(self, call: RouteCall) -> object:
        """Report what was spent.

        Raises:
            InvalidRequestError: A parameter that does not exist or has a wrong value.
            LedgerError: The ledger cannot be read.
        """
        from homeport_costguard.question import Question  # noqa: PLC0415 - read when it is asked for
        from homeport_costguard.report import report  # noqa: PLC0415

        question = Question.parse(call.query)
        return await asyncio.to_thread(report, self._file, self._config, question, self._clock())

    def reconfigure(self, config: CostGuardConfig) -> None:
        """Go by other prices and budgets from now on; what is reserved stays reserved.

        What runs already and was in no budget is reserved now where it has come into one.

        Raises:
            ConfigError: The file of prices cannot be used; the old settings stay in force.
        """
        self._pricing = Pricing(config)
        self._config = config
        self._budgets.reconfigure(config)
        self._known.clear()
        for name, (plan, reservation) in tuple(self._unheld.items()):
            if self._must_hold(plan):
                del self._unheld[name]
                self._count(reservation)

    async def aclose(self) -> None:
        """Write what is left to the ledger and close it."""
        await self._writer.aclose()

    def _must_hold(self, plan: Plan) -> bool:
        """Tell whether an attempt takes something that costs money or that a budget counts."""
        if plan.most.micro_usd or plan.price is not None:
            return True
        accounts = tuple(plan.labels.accounts())
        return any(
            budget.hard.counts(plan.most) or budget.soft.counts(plan.most)
            for budget in self._budgets.all
            if any(budget.covers(scope, value) for scope, value in accounts)
        )

    async def _hold(self, reservation: Reservation) -> None:
        """Reserve; leaves nothing reserved where it is cancelled meanwhile."""
        future = self._writer.submit(lambda book: book.reserve(reservation))
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError:
            future.add_done_callback(_retrieve)
            self._release(reservation.attempt)
            raise
        self._learn(future.result())

    def _count(self, reservation: Reservation) -> None:
        """Reserve for an attempt that cannot be refused any more."""
        future = self._writer.submit(lambda book: book.hold(reservation), is_kept=True)
        future.add_done_callback(self._booked)

    async def _settle(self, name: str, charge: Charge | None, error: BaseException | None) -> None:
        """Charge or release, and wait until that is on the disk, unless the client has left."""
        if charge is None:
            self._release(name)
            return
        future = self._writer.submit(lambda book: book.charge(charge), is_kept=True, is_durable=True)
        future.add_done_callback(self._booked)
        if error is None:
            await asyncio.wait((future,))

    def _release(self, name: str) -> None:
        self._writer.submit(lambda book: book.release(name), is_kept=True).add_done_callback(self._booked)

    def _booked(self, future: "asyncio.Future[Booking]") -> None:
        """Take note of the end of a reservation; the writer tries again what could not be written."""
        error = _retrieve(future)
        if error is not None:
            logger.error("an attempt that has ended could not be settled yet: {}", error)
        elif not future.cancelled():
            self._learn(future.result())

    def _learn(self, booking: Booking) -> None:
        """Remember how accounts stand, and tell what was reached for the first time."""
        if booking.day > self._day or len(self._known) > _MOST_REMEMBERED_ACCOUNTS:
            self._known.clear()
            self._day = booking.day
        now = asyncio.get_running_loop().time()
        self._known.update((bound.account, (taken, now)) for bound, taken in booking.taken)
        if booking.over:
            logger.warning("an attempt took more than was reserved for it; all of it is charged")
        for alert in booking.alerts:
            _tell(alert)

    def _known_bounds(self, plan: Plan, *, since: float = -math.inf) -> list[tuple[Bound, Taken]]:
        """List the bounds of an attempt of whose accounts something is known, told after a moment."""
        if not self._known:
            return []
        day = max(self._day, self._clock().date().isoformat())
        bounds = self._budgets.bounds(plan.labels, day)
        known = ((bound, self._known[bound.account]) for bound in bounds if bound.account in self._known)
        return [(bound, taken) for bound, (taken, told_at) in known if told_at >= since]

    def _share_taken(self, request: Request, candidate: Candidate) -> float:
        """Give the largest share of a hard cap that is taken; infinity where a soft one is exceeded."""
        try:
            plan = self._pricing.plan(request, candidate)
        except RefusedError:
            return math.inf
        known = self._known_bounds(plan)
        if any(bound.budget.soft.exceeded_by(taken.total) for bound, taken in known):
            return math.inf
        return max((bound.budget.hard.share_taken(taken.total) for bound, taken in known), default=0.0)


def _retrieve(future: "asyncio.Future[Any]") -> BaseException | None:
    """Give what a future failed with, so that nobody misses it."""
    return None if future.cancelled() else future.exception()


def _tell(alert: Alert) -> None:
    budget, account = alert.bound.budget, alert.bound.account
    reached = "its soft cap" if alert.percent == SOFT else f"{alert.percent} % of its cap"
    logger.warning(
        "budget {!r} ({} {!r}, {}) has reached {}: {} of {}",
        budget.name,
        account.scope,
        account.value,
        account.period,
        reached,
        shown(alert.unit, alert.amount),
        shown(alert.unit, alert.cap),
    )
