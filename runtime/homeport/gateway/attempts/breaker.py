"""One circuit breaker: it stops calls to what keeps failing, and tries from time to time whether it works.

The pattern is Nygard's (2007, "Release It!"): closed while calls succeed, open for a while when too many
fail, half open while one call probes.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs

from homeport.config.gateway_settings import BreakerSettings
from homeport.domain.errors import HomeportError
from homeport.domain.events import BreakerState
from homeport.domain.overload import DeadlineError, OverloadedError
from homeport.gateway.attempts.breaker_stats import CallRecord

_OWN_STAGES = frozenset({"queue", "total"})
"""Stages whose end says nothing of the backend: our queue, and the time that the client allows."""


@attrs.define(eq=False)
class BreakerCall:
    """A call that was let through; it must be ended, however it went.

    Attributes:
        is_probe: Whether it is the one that tries an open breaker.
    """

    _breaker: "Breaker"
    epoch: int
    is_probe: bool
    _is_ended: bool = False

    def end(self, error: BaseException | None, seconds: float) -> None:
        """Say how it ended; only the first time counts.

        Args:
            error: What it failed with. Only what speaks against the backend counts: a wrong request, a
                cancellation or a refused budget does not, and gives back the probe.
            seconds: How long it took.
        """
        if not self._is_ended:
            self._is_ended = True
            self._breaker.note_end(self, error, seconds)


@attrs.frozen
class _Outcome:
    at: float
    failed: bool


class Breaker:
    """Counts the calls of one target and says whether it may be called.

    Args:
        settings: When it opens and for how long.
        generator: Gives the jitter.
        on_change: Told of each new state, and why.
    """

    def __init__(
        self,
        settings: BreakerSettings,
        generator: random.Random,
        *,
        on_change: Callable[[BreakerState, str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._generator = generator
        self._on_change = on_change
        self._state = BreakerState.CLOSED
        self._outcomes: deque[_Outcome] = deque(maxlen=settings.calls)
        self._opened_for = ""
        self._retry_at = 0.0
        self._opens_in_a_row = 0
        self._epoch = 0
        self._probe: BreakerCall | None = None
        self.record = CallRecord()
        self.is_forced = False
        self.trips = 0
        self.changed_at: float | None = None

    @property
    def state(self) -> BreakerState:
        """The state now."""
        is_over = self._state is BreakerState.OPEN and not self.is_forced and self._retry_at <= _now()
        if is_over:
            self._change(BreakerState.HALF_OPEN, "the time is over")
        return self._state

    @property
    def seconds_until_retry(self) -> float:
        """How long until one call may try; 0 where it is not open, and where an operator must close it."""
        is_waiting = self.state is BreakerState.OPEN and not self.is_forced
        return max(self._retry_at - _now(), 0.0) if is_waiting else 0.0

    def refusal(self) -> str:
        """Say why a call would be refused now; empty where it may be made."""
        if self.state is BreakerState.CLOSED:
            return ""
        if self.is_forced:
            return "opened by an operator"
        if self._state is BreakerState.OPEN:
            return f"breaker open for {self.seconds_until_retry:.1f} s more, {self._opened_for}"
        return "breaker half open, one call tries it" if self._probe else ""

    def call(self) -> BreakerCall:
        """Begin a call, whatever the state; the first one of a half-open breaker is its probe."""
        is_probe = self.state is BreakerState.HALF_OPEN and self._probe is None
        call = BreakerCall(self, self._epoch, is_probe)
        if is_probe:
            self._probe = call
        return call

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """Surround one call: ``async with breaker.guard():``, or ``@breaker.guard()`` on an async function.

        Raises:
            OverloadedError: It is open.
        """
        refusal = self.refusal()
        if refusal:
            raise OverloadedError(refusal, retry_after_seconds=max(round(self.seconds_until_retry), 1))
        call, began, failed_with = self.call(), _now(), None
        try:
            yield
        except BaseException as error:
            failed_with = error
            raise
        finally:
            call.end(failed_with, _now() - began)

    def note_end(self, call: BreakerCall, error: BaseException | None, seconds: float) -> None:
        """Take note of how a call ended; ``BreakerCall.end`` calls it."""
        if self._probe is call:
            self._probe = None
        failed = error is not None
        if error is not None and not counts(error):
            return
        now = _now()
        self.record.add(failed=failed, seconds=seconds, now=now)
        if call.epoch != self._epoch or self.is_forced:
            return
        if self.state is BreakerState.CLOSED:
            self._outcomes.append(_Outcome(now, failed))
            self._open_if_too_many(now)
        elif not failed:
            self._close("a call succeeded")
        elif call.is_probe:
            self._open("the call that tried it failed")

    def force_open(self) -> None:
        """Refuse calls until it is reset."""
        self.is_forced = True
        self._renew()
        self._change(BreakerState.OPEN, "opened by an operator")

    def reset(self) -> None:
        """Close it and forget the failures; totals stay."""
        self.is_forced = False
        self._close("reset by an operator")

    def reconfigure(self, settings: BreakerSettings) -> None:
        """Use other settings from now on; an open one stays open for as long as it was to be."""
        self._settings = settings
        self._outcomes = deque(self._outcomes, maxlen=settings.calls)

    def _open_if_too_many(self, now: float) -> None:
        settings = self._settings
        while self._outcomes[0].at < now - settings.window_seconds:
            self._outcomes.popleft()
        calls = len(self._outcomes)
        failures = sum(outcome.failed for outcome in self._outcomes)
        in_a_row = self.record.failures_in_a_row
        if 0 < settings.consecutive_failures <= in_a_row:
            self._open(f"{in_a_row} calls in a row failed")
        elif calls >= min(settings.least_calls, settings.calls) and (
            failures and failures >= settings.failure_share * calls
        ):
            self._open(f"{failures} of {calls} calls failed")

    def _open(self, reason: str) -> None:
        settings = self._settings
        self._opens_in_a_row += 1
        self.trips += 1
        longest = min(settings.open_seconds * self._opens_in_a_row, settings.most_open_seconds)
        self._retry_at = _now() + longest * (1 - settings.jitter * self._generator.random())
        self._opened_for = reason
        self._renew()
        self._change(BreakerState.OPEN, reason)

    def _close(self, reason: str) -> None:
        self._opens_in_a_row = 0
        self.record.failures_in_a_row = 0
        self._renew()
        if self._state is not BreakerState.CLOSED:
            self._change(BreakerState.CLOSED, reason)

    def _renew(self) -> None:
        """Begin an epoch: what calls of an earlier one come to no longer changes the state."""
        self._epoch += 1
        self._outcomes.clear()
        self._probe = None

    def _change(self, state: BreakerState, reason: str) -> None:
        self._state = state
        self.changed_at = _now()
        if self._on_change is not None:
            self._on_change(state, reason)


def counts(error: BaseException) -> bool:
    """Tell whether an error speaks against the backend that it came from."""
    if isinstance(error, DeadlineError):
        return error.stage not in _OWN_STAGES
    return error.trips_breaker if isinstance(error, HomeportError) else isinstance(error, Exception)


def _now() -> float:
    return asyncio.get_running_loop().time()
