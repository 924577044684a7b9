"""``/v1/breakers``: which backends are left alone, and the operator's hand on them."""

from datetime import datetime
from enum import StrEnum

import msgspec


class BreakerAction(StrEnum):
    """What to do with a breaker: take its target out until it is reset, or let it be called again."""

    OPEN = "open"
    RESET = "reset"


class BreakerCommand(msgspec.Struct, kw_only=True):
    """Body of ``POST /v1/breakers``."""

    backend: str
    model: str
    action: BreakerAction


class Breaker(msgspec.Struct, kw_only=True):
    """A model on a backend; times in seconds, moments in UTC, null where there was none."""

    object: str = "breaker"
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


class BreakerList(msgspec.Struct, kw_only=True):
    """``GET /v1/breakers``."""

    object: str = "list"
    data: list[Breaker]
