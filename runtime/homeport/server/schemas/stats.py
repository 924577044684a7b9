"""``GET /v1/stats``: the host in figures, under the names that dashboards of older programs know."""

from datetime import datetime
from typing import Any

import msgspec

from homeport.server.schemas.breakers import Breaker


class Percentiles(msgspec.Struct, kw_only=True):
    """Of the latest times, in seconds."""

    p50: float
    p95: float
    p99: float


class TargetLoad(msgspec.Struct, kw_only=True):
    """How busy a model on a backend is: requests that have a place, that wait, and places."""

    in_flight: int
    waiting: int
    limit: int


class QueueStats(msgspec.Struct, kw_only=True):
    """The queue; times in seconds, throughput in requests per second over the last minute.

    Attributes:
        depths: Requests that wait, by class.
        targets: By backend and model, joined by a slash.
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
    depths: dict[str, int]
    targets: dict[str, TargetLoad]


class ShadowStats(msgspec.Struct, kw_only=True):
    """Copies of requests for a model that is compared; those left out were too many at once."""

    finished: int
    failed: int
    left_out: int


class ModelStats(msgspec.Struct, kw_only=True):
    """A model in memory.

    Attributes:
        resident_bytes: Memory of its worker now.
        predicted_bytes: What it was granted.
        peak_bytes: The most it held so far.
        in_use: Requests that run now.
        expires_at: When it leaves if nobody asks for it; null is never.
    """

    name: str
    backend: str
    pid: int
    resident_bytes: int
    predicted_bytes: int
    peak_bytes: int
    context_length: int
    slots: int
    in_use: int
    is_pinned: bool
    expires_at: datetime | None


class ProcessStats(msgspec.Struct, kw_only=True):
    """One process; ``model`` is empty for the host."""

    pid: int
    model: str
    resident_bytes: int
    cpu_seconds: float
    threads: int


class HostStats(msgspec.Struct, kw_only=True):
    """What there is, and who takes it.

    Attributes:
        memory_total_bytes: Of the machine or its control group; null where it is not told.
        memory_available_bytes: Likewise.
        memory_pressure_percent: Share of the last 10 s in which some task waited for memory.
        strain: What that forbids: none, tight or severe.
        processes: The host and the workers of models.
    """

    version: str
    uptime_seconds: float
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    memory_pressure_percent: float
    strain: str
    processes: list[ProcessStats]


class Stats(msgspec.Struct, kw_only=True):
    """All of it.

    Attributes:
        queue: Requests that wait and run.
        breakers: What was called, and how it did.
        pools: What backends tell of themselves, by their name.
        shadows: What came of copies of requests, by backend and model, joined by a slash.
        models: In memory.
        process: The host and the machine.
    """

    object: str = "stats"
    queue: QueueStats
    breakers: list[Breaker]
    pools: dict[str, dict[str, Any]]
    shadows: dict[str, ShadowStats]
    models: list[ModelStats]
    process: HostStats
