"""Health answers."""

import msgspec


class Health(msgspec.Struct, kw_only=True):
    """``GET /healthz``."""

    status: str = "ok"
    healthy: bool = True
    version: str
    uptime_seconds: int


class ReadinessAnswer(msgspec.Struct):
    """``GET /readyz``."""

    status: str
