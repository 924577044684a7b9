"""The settings tree: every value has a default, a unit in its name where it needs one, and a help line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import platformdirs

from homeport.config.gateway_settings import GatewaySettings, RouteSettings
from homeport.config.limits import at_least, between, positive_seconds
from homeport.config.model_settings import ModelSettings
from homeport.config.setting import inner_setting, setting

DEFAULT_PORT = 11434
"""Ollama's port, so that its clients find us without being told."""


def _default_home() -> Path:
    return platformdirs.user_data_path("homeport")


@attrs.frozen(kw_only=True)
class ServerSettings:
    """Where the host listens and whom it answers."""

    host: str = setting("127.0.0.1", "address to listen on; any but loopback needs a key")
    port: int = setting(DEFAULT_PORT, "port to listen on; 0 takes a free one", check=between(0, 65535))
    api_key: str | None = setting(None, "key that clients must send", env=("HOMEPORT_API_KEY",), secret=True)
    insecure: bool = setting(False, "allow a non-loopback address without a key")
    allowed_hosts: tuple[str, ...] = setting((), "further names accepted in the Host header")
    allowed_origins: tuple[str, ...] = setting(
        (), "further browser origins to answer, with * as wildcard", env=("OLLAMA_ORIGINS",)
    )
    max_body_bytes: int = setting(32 * 1024**2, "largest request body", check=at_least(1))
    max_blob_bytes: int = setting(
        256 * 1024**3, "largest file that may be uploaded to make a model of", check=at_least(1)
    )
    body_timeout_seconds: float = setting(
        30.0, "how long a request body may take to arrive", check=positive_seconds
    )


@attrs.frozen(kw_only=True)
class PluginSettings:
    """Which plugins run. Their own settings stand beside these, in ``[plugins.NAME]``.

    Attributes:
        tables: These settings of each plugin, by its name.
        environ: Variables that may set them too.
    """

    disabled: tuple[str, ...] = setting(
        (), "plugins that are never imported", env=("HOMEPORT_DISABLED_PLUGINS",)
    )
    enabled: tuple[str, ...] = setting((), "when set, the only plugins that are imported")
    strict: bool = setting(False, "a broken plugin stops the start")
    tables: Mapping[str, Mapping[str, Any]] = inner_setting()
    environ: Mapping[str, str] = inner_setting()


@attrs.frozen(kw_only=True)
class LogSettings:
    """What is written to standard error."""

    level: str = setting("INFO", "TRACE, DEBUG, INFO, WARNING or ERROR", env=("OLLAMA_DEBUG", "LOG_LEVEL"))


@attrs.frozen(kw_only=True)
class Settings:
    """All settings of one homeport."""

    home: Path = setting(
        _default_home,
        "folder of models and state",
        env=("HOMEPORT_HOME",),
    )
    offline: bool = setting(False, "make any connection to another machine an error")
    server: ServerSettings = attrs.field(factory=ServerSettings)
    models: ModelSettings = attrs.field(factory=ModelSettings)
    gateway: GatewaySettings = attrs.field(factory=GatewaySettings)
    tiers: Mapping[str, tuple[str, ...]] = setting(
        dict, "models of a tier, preferred first: fast, balanced, power, remote; others are chosen by size"
    )
    routes: Mapping[str, RouteSettings] = setting(
        dict, "names that clients may ask for, and how they are served"
    )
    plugins: PluginSettings = attrs.field(factory=PluginSettings)
    log: LogSettings = attrs.field(factory=LogSettings)
