"""The breakers of all targets, and the rule that some of a group always stay."""

import asyncio
import random
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from functools import partial

from homeport.config.gateway_settings import BreakerSettings
from homeport.domain.events import BreakerChanged, BreakerState, Event
from homeport.gateway.attempts.breaker import Breaker, BreakerCall
from homeport.gateway.attempts.breaker_stats import BreakerStats
from homeport.gateway.target import TargetKey

_ROUNDING = 1e-9


class Breakers:
    """One breaker for each target that was ever called.

    Args:
        settings: Of all of them.
        emit: Told of every change of state.
        generator: Gives the jitter.
    """

    def __init__(
        self, settings: BreakerSettings, emit: Callable[[Event], None], generator: random.Random
    ) -> None:
        self._settings = settings
        self._emit = emit
        self._generator = generator
        self._breakers: dict[TargetKey, Breaker] = {}

    def refusal(self, key: TargetKey, group: Collection[TargetKey]) -> str:
        """Say why a target must not be called now; empty where it may be.

        At most the configured share of a group is out, and never its last member: where all fail, calls go
        to those that come back soonest. What an operator opened stays out even so.

        Args:
            key: Who would be called.
            group: All that could serve the request, this one among them.
        """
        breaker = self._breakers.get(key)
        reason = breaker.refusal() if breaker else ""
        if breaker is None or not reason or breaker.is_forced:
            return reason
        members = {*group, key}
        most_out = min(int(self._settings.most_out_share * len(members) + _ROUNDING), len(members) - 1)
        out = sorted((each for each in members if self._is_out(each)), key=self._return)
        return reason if key in out[:most_out] else ""

    def call(self, key: TargetKey) -> BreakerCall:
        """Begin a call; end it with ``BreakerCall.end``, however it went."""
        return self._of(key).call()

    def force_open(self, key: TargetKey) -> None:
        """Take a target out until it is reset."""
        self._of(key).force_open()

    def reset(self, key: TargetKey) -> None:
        """Let a target be called again as if it had not failed."""
        self._of(key).reset()

    def stats(self) -> tuple[BreakerStats, ...]:
        """Tell how every target did, in the order of their names."""
        return tuple(_stats(key, breaker) for key, breaker in sorted(self._breakers.items()))

    def reconfigure(self, settings: BreakerSettings) -> None:
        """Use other settings from now on."""
        self._settings = settings
        for breaker in self._breakers.values():
            breaker.reconfigure(settings)

    def _of(self, key: TargetKey) -> Breaker:
        if key not in self._breakers:
            told = partial(self._tell, key)
            self._breakers[key] = Breaker(self._settings, self._generator, on_change=told)
        return self._breakers[key]

    def _is_out(self, key: TargetKey) -> bool:
        breaker = self._breakers.get(key)
        return breaker is not None and breaker.refusal() != ""

    def _return(self, key: TargetKey) -> tuple[bool, float, TargetKey]:
        """Order those that are out: by an operator first, then those that stay out longest."""
        breaker = self._breakers[key]
        return not breaker.is_forced, -breaker.seconds_until_retry, key

    def _tell(self, key: TargetKey, state: BreakerState, reason: str) -> None:
        self._emit(BreakerChanged(backend=key.backend, model=key.model, state=state, reason=reason))


def _stats(key: TargetKey, breaker: Breaker) -> BreakerStats:
    record = breaker.record
    return BreakerStats(
        name=str(key),
        backend=key.backend,
        model=key.model,
        state=breaker.state.value,
        is_forced=breaker.is_forced,
        total_requests=record.calls,
        successful_requests=record.successes,
        failed_requests=record.failures,
        consecutive_failures=record.failures_in_a_row,
        success_rate=record.success_rate,
        trip_count=breaker.trips,
        average_response_time=record.mean_seconds,
        p50_response_time=record.quantile_seconds(0.5),
        p95_response_time=record.quantile_seconds(0.95),
        p99_response_time=record.quantile_seconds(0.99),
        last_failure_time=_wall_time(record.last_failure_at),
        last_success_time=_wall_time(record.last_success_at),
        state_changed_at=_wall_time(breaker.changed_at),
        time_until_retry=breaker.seconds_until_retry,
    )


def _wall_time(moment: float | None) -> datetime | None:
    """Turn a moment of the loop's clock into a date, so that a jump of the wall clock moves no breaker."""
    if moment is None:
        return None
    return datetime.now(UTC) - timedelta(seconds=asyncio.get_running_loop().time() - moment)
