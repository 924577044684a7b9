"""What operators ask: health and plugins."""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from homeport.server.schemas.stats import Percentiles

State = Literal["ready", "starting", "draining", "overloaded"]
"""Whether a host takes work, and why not."""


class WorkDetail(msgspec.Struct, kw_only=True):
    """Requests since the start, and how long they took from place to end, in seconds."""

    tasks_processed: int
    tasks_failed: int
    active: int
    average_processing_time: float
    processing_times: Percentiles


class Health(msgspec.Struct, kw_only=True):
    """``GET /healthz``; ``work`` only for a key with the scope ``monitor``."""

    status: str = "ok"
    healthy: bool = True
    version: str
    uptime_seconds: int
    work: WorkDetail | UnsetType = UNSET


class ReadinessDetail(msgspec.Struct, kw_only=True):
    """Requests that have a place, that wait, and that may wait; models in memory."""

    running: int
    waiting: int
    max_waiting: int
    models: list[str]


class ReadinessAnswer(msgspec.Struct):
    """``GET /readyz``; ``work`` only for a key with the scope ``monitor``."""

    status: State
    work: ReadinessDetail | UnsetType = UNSET


class OpenApi(msgspec.Struct, kw_only=True):
    """``GET /openapi.json``, as OpenAPI 3.1 says."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


class Plugin(msgspec.Struct, kw_only=True):
    """An installed plugin."""

    name: str
    distribution: str
    version: str
    status: str
    cause: str
    provides: tuple[str, ...]
    missing: tuple[str, ...]


class PluginList(msgspec.Struct, kw_only=True):
    """``GET /v1/plugins``."""

    object: str = "list"
    data: list[Plugin]
