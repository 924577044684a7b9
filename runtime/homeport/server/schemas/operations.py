"""What operators ask: health and plugins."""

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
