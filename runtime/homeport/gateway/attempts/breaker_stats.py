"""What is told of a breaker, under the names that dashboards of older programs know."""

import math
from collections import deque
from datetime import datetime

import attrs

_KEPT_TIMES = 256


@attrs.frozen(kw_only=True)
class BreakerStats:
    """How a model on a backend did, and whether it is called.

    Attributes:
        name: Backend and model, joined by a slash.
        backend: Name of the backend.
        model: Display name of the model.
        state: closed, open or half_open.
        is_forced: Whether an operator opened it.
        total_requests: Calls that ended and count; those that the client or a bad request ended do not.
        successful_requests: Those of them that ended well.
        failed_requests: The others.
        consecutive_failures: Since the last success.
        success_rate: 0 to 1; 1 while there was no call.
        trip_count: How often it opened.
        average_response_time: Seconds, over all counted calls.
        p50_response_time: Seconds, over the last 256 of them; likewise the next two.
        p95_response_time: See above.
        p99_response_time: See above.
        last_failure_time: In UTC; None where there was none.
        last_success_time: Likewise.
        state_changed_at: Likewise.
        time_until_retry: Seconds until one call may try it again; 0 where it is not open.
    """

    name: str
    backend: str
    model: str
    state: str
    is_forced: bool
    total_requests: int
    successful_requests: int
    failed_requests: int
    consecutive_failures: int
    success_rate: float
    trip_count: int
    average_response_time: float
    p50_response_time: float
    p95_response_time: float
    p99_response_time: float
    last_failure_time: datetime | None
    last_success_time: datetime | None
    state_changed_at: datetime | None
    time_until_retry: float


@attrs.define
class CallRecord:
    """Counts calls and their times; moments are those of the event loop's clock.

    Attributes:
        successes: Calls that ended well.
        failures: Calls that did not.
        failures_in_a_row: Since the last success.
        last_success_at: When; None where there was none.
        last_failure_at: Likewise.
    """

    successes: int = 0
    failures: int = 0
    failures_in_a_row: int = 0
    last_success_at: float | None = None
    last_failure_at: float | None = None
    _seconds: float = 0.0
    _times: deque[float] = attrs.field(factory=lambda: deque(maxlen=_KEPT_TIMES))

    def add(self, *, failed: bool, seconds: float, now: float) -> None:
        """Count one call."""
        if failed:
            self.failures += 1
            self.failures_in_a_row += 1
            self.last_failure_at = now
        else:
            self.successes += 1
            self.failures_in_a_row = 0
            self.last_success_at = now
        self._seconds += seconds
        self._times.append(seconds)

    @property
    def calls(self) -> int:
        """All that were counted."""
        return self.successes + self.failures

    @property
    def success_rate(self) -> float:
        """Share of calls that ended well; 1 while there was none."""
        return self.successes / self.calls if self.calls else 1.0

    @property
    def mean_seconds(self) -> float:
        """Of all calls; 0 while there was none."""
        return self._seconds / self.calls if self.calls else 0.0

    def quantile_seconds(self, share: float) -> float:
        """Give the time that this share of the last calls did not exceed; 0 while there was none."""
        ordered = sorted(self._times)
        return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else 0.0
