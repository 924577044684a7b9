"""What admission tells of itself: counts, and times of the latest requests."""

from collections import deque
from collections.abc import Iterable, Mapping

import attrs

from homeport.gateway.admission.line import TargetLoad

_SAMPLES = 1024
"""Requests whose times are remembered for percentiles."""
_WINDOW_SECONDS = 60
"""Throughput is that of the last minute."""


@attrs.frozen(kw_only=True)
class Percentiles:
    """Of the latest times, in seconds; 0 where there are none."""

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0

    @classmethod
    def of(cls, times: Iterable[float]) -> "Percentiles":
        """Take the rank at or below each."""
        ranked = sorted(times)
        if not ranked:
            return cls()
        p50, p95, p99 = (
            ranked[min(len(ranked) * percent // 100, len(ranked) - 1)] for percent in (50, 95, 99)
        )
        return cls(p50=p50, p95=p95, p99=p99)


@attrs.frozen(kw_only=True)
class AdmissionStats:
    """The queue in figures; a retry and a fallback count like a request of their own.

    Attributes:
        current_size: Requests that wait.
        max_size: Requests that may.
        active: Requests that have a place.
        completed: Ended well.
        failed: Ended with an error of the backend.
        timed_out: Ended because their time, or that of a stage, was over; also while waiting.
        cancelled: Left by their client; also while waiting.
        refused: Never waited, because the queue was full or the wait would have been too long.
        shed: Were waiting and had to leave for more urgent ones.
        success_rate: Share of those that ended well among those that ended on their own; 1 without any.
        average_queue_time: Mean wait for a place, in seconds.
        average_processing_time: Mean time from place to end, in seconds.
        throughput: Requests that ended well per second, over the last minute.
        queue_times: Percentiles of the latest waits.
        processing_times: Percentiles of the latest times from place to end.
        depths: Requests that wait, by class, most urgent first.
        targets: How busy each target is.
    """

    current_size: int
    max_size: int
    active: int
    completed: int
    failed: int
    timed_out: int
    cancelled: int
    refused: int
    shed: int
    success_rate: float
    average_queue_time: float
    average_processing_time: float
    throughput: float
    queue_times: Percentiles
    processing_times: Percentiles
    depths: tuple[int, ...]
    targets: Mapping[str, TargetLoad]


@attrs.define
class AdmissionRecord:
    """Counts what happens, in bounded memory; the counters are those of :class:`AdmissionStats`."""

    completed: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    refused: int = 0
    shed: int = 0
    _started: int = attrs.field(default=0, init=False)
    _ended: int = attrs.field(default=0, init=False)
    _waited_seconds: float = attrs.field(default=0.0, init=False)
    _processed_seconds: float = attrs.field(default=0.0, init=False)
    _waits: deque[float] = attrs.field(factory=lambda: deque(maxlen=_SAMPLES), init=False)
    _processings: deque[float] = attrs.field(factory=lambda: deque(maxlen=_SAMPLES), init=False)
    _completions: deque[list[int]] = attrs.field(factory=lambda: deque(maxlen=_WINDOW_SECONDS), init=False)

    def start(self, waited_seconds: float) -> None:
        """Count a request that got its place."""
        self._started += 1
        self._waited_seconds += waited_seconds
        self._waits.append(waited_seconds)

    def complete(self, now: float) -> None:
        """Count a request that ended well."""
        self.completed += 1
        second = int(now)
        if self._completions and self._completions[-1][0] == second:
            self._completions[-1][1] += 1
        else:
            self._completions.append([second, 1])

    def end(self, seconds: float) -> None:
        """Count a request that left its place."""
        self._ended += 1
        self._processed_seconds += seconds
        self._processings.append(seconds)

    def stats(
        self,
        now: float,
        *,
        size: int,
        max_size: int,
        active: int,
        depths: tuple[int, ...],
        targets: Mapping[str, TargetLoad],
    ) -> AdmissionStats:
        """Sum up."""
        judged = self.completed + self.failed + self.timed_out
        recent = sum(count for second, count in self._completions if second > now - _WINDOW_SECONDS)
        return AdmissionStats(
            current_size=size,
            max_size=max_size,
            active=active,
            completed=self.completed,
            failed=self.failed,
            timed_out=self.timed_out,
            cancelled=self.cancelled,
            refused=self.refused,
            shed=self.shed,
            success_rate=self.completed / judged if judged else 1.0,
            average_queue_time=self._waited_seconds / max(self._started, 1),
            average_processing_time=self._processed_seconds / max(self._ended, 1),
            throughput=recent / _WINDOW_SECONDS,
            queue_times=Percentiles.of(self._waits),
            processing_times=Percentiles.of(self._processings),
            depths=depths,
            targets=targets,
        )
