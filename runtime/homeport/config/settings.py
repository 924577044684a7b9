"""The settings tree: every value has a default, a unit in its name where it needs one, and a help line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import platformdirs

from homeport.config.limits import (
    Check,
    at_least,
    between,
    keep_alive,
    memory_amount,
    positive_seconds,
    quantisation,
)
from homeport.domain.errors import ConfigError

DEFAULT_PORT = 11434
"""Ollama's port, so that its clients find us without being told."""


def setting(
    default: Any,  # noqa: ANN401
    summary: str,
    *,
    env: tuple[str, ...] = (),
    secret: bool = False,
    check: Check | None = None,
    zero_is_default: bool = False,
) -> Any:  # noqa: ANN401
    """Declare one setting.

    Args:
        default: Its value when nobody sets it; a callable is called.
        summary: One line for ``config show`` and the JSON Schema.
        env: Further environment variables that set it, strongest first. Each setting also has
            ``HOMEPORT_<SECTION>_<NAME>``.
        secret: Never printed.
        check: Refuses values outside its range.
        zero_is_default: 0 becomes the default.
    """
    metadata = {"summary": summary, "env": env, "secret": secret, "check": check}
    if callable(default):
        return attrs.field(factory=default, metadata=metadata)
    return attrs.field(
        default=default,
        metadata=metadata,
        converter=(lambda value: value or default) if zero_is_default else None,
        validator=None if check is None else _checked,
    )


def _checked(_instance: object, field: "attrs.Attribute[Any]", value: object) -> None:
    try:
        field.metadata["check"](value)
    except ValueError as error:
        raise ConfigError(f"{field.name}: {error}") from error


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
    body_timeout_seconds: float = setting(
        30.0, "how long a request body may take to arrive", check=positive_seconds
    )


@attrs.frozen(kw_only=True)
class ModelSettings:
    """How models are kept and loaded."""

    keep_alive: str | float = setting(
        "5m",
        "how long a model stays in memory after its last request: a duration or seconds; -1 is for ever",
        env=("OLLAMA_KEEP_ALIVE",),
        check=keep_alive,
    )
    context_length: int = setting(
        4096,
        "tokens of one conversation, prompt and answer together; 0 is the default",
        env=("OLLAMA_CONTEXT_LENGTH",),
        check=at_least(4, or_zero=True),
        zero_is_default=True,
    )
    slots: int = setting(
        32,
        "sequences of one model that run at once; 0 is the default",
        env=("OLLAMA_NUM_PARALLEL",),
        check=at_least(0),
        zero_is_default=True,
    )
    threads: int = setting(0, "compute threads of a worker; 0 takes the usable cores", check=at_least(0))
    cache_memory: str | int = setting(
        "25%",
        'memory for the keys and values of one model: a share of what is free when it is loaded, or "2GiB"',
        check=memory_amount,
    )
    prefix_cache: bool = setting(True, "remember what was computed for prompts that begin alike")
    speculation: bool = setting(True, "guess tokens from the text so far where that is faster")
    max_stall_ms: int = setting(
        250, "longest wait of running streams for a part of a prompt, in milliseconds", check=at_least(1)
    )
    quant: str = setting(
        "auto",
        "what a pull makes of the weights of a decoder: auto, int4, int8, bf16 or fp32",
        check=quantisation,
    )
    backend: str | None = setting(None, "local backend for installed models; unset takes the first available")
    load_timeout_seconds: float = setting(
        300.0, "how long a worker may take to get ready", check=positive_seconds
    )


@attrs.frozen(kw_only=True)
class GatewaySettings:
    """How requests are admitted, ranked and checked."""

    max_requests: int = setting(
        512, "requests in the house at once; more get 503", env=("OLLAMA_MAX_QUEUE",), check=at_least(1)
    )
    routers: tuple[str, ...] = setting((), "routers that rank backends, first to last")
    validators: tuple[str, ...] = setting((), "validators that check whole answers, first to last")


@attrs.frozen(kw_only=True)
class PluginSettings:
    """Which plugins run. Their own settings stand beside these, in ``[plugins.NAME]``."""

    disabled: tuple[str, ...] = setting(
        (), "plugins that are never imported", env=("HOMEPORT_DISABLED_PLUGINS",)
    )
    enabled: tuple[str, ...] = setting((), "when set, the only plugins that are imported")
    strict: bool = setting(False, "a broken plugin stops the start")
    tables: Mapping[str, Mapping[str, Any]] = setting(dict, "settings of each plugin, by its name")


@attrs.frozen(kw_only=True)
class LogSettings:
    """What is written to standard error."""

    level: str = setting("INFO", "TRACE, DEBUG, INFO, WARNING or ERROR", env=("LOG_LEVEL",))


@attrs.frozen(kw_only=True)
class Settings:
    """All settings of one homeport."""

    home: Path = setting(
        _default_home,
        "folder of models and state",
        env=("HOMEPORT_HOME",),
    )
    server: ServerSettings = attrs.field(factory=ServerSettings)
    models: ModelSettings = attrs.field(factory=ModelSettings)
    gateway: GatewaySettings = attrs.field(factory=GatewaySettings)
    plugins: PluginSettings = attrs.field(factory=PluginSettings)
    log: LogSettings = attrs.field(factory=LogSettings)
