"""Settings of the backend, ``[plugins.ollama-legacy]``."""

import math
from collections.abc import Callable
from typing import Any

import attrs

from homeport import between

MOST_CONNECTIONS = 64
MOST_WARM = 5
_MOST_SLOTS = 1024
_GIBIBYTE = 1024**3


def _setting(
    default: Any,  # noqa: ANN401 - of the setting's type
    summary: str,
    *,
    check: Callable[..., None] | None = None,
    env: tuple[str, ...] = (),
) -> Any:  # noqa: ANN401 - as attrs.field
    return attrs.field(default=default, metadata={"summary": summary, "check": check, "env": env})


def _url(value: str | None) -> None:
    if value is None:
        return
    from homeport.upstream import upstream_url  # noqa: PLC0415 - aiohttp is not needed to list plugins

    upstream_url(value)


def _seconds(value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"must be a finite number of seconds above 0, got {value!r}")


def _warm(value: tuple[str, ...]) -> None:
    if len(value) > MOST_WARM:
        raise ValueError(f"must name {MOST_WARM} models at most, got {len(value)}")


@attrs.frozen(kw_only=True)
class OllamaConfig:
    """Where an Ollama is, and how it is used.

    Attributes:
        url: Its address; None leaves the backend off. ``OLLAMA_HOST`` is where we listen, never this.
        base_url: The same by its other name; where both are set they must be equal.
        connections: How many there are at most; so many answers can run at once.
        idle_seconds: How long an unused connection stays open.
        connect_seconds: How long opening one may take.
        total_seconds: How long one exchange may take.
        health_seconds: How often it is asked for its version and its models.
        warm: Models that are loaded at the start and kept in its memory.
        slots: Answers of one model that it gives at once; 0 is the number of connections.
        pull: Models that it is told to pull when they are asked for and it has them not.
        pull_most_bytes: The largest model that it is told to pull.
    """

    url: str | None = _setting(
        None,
        "address of the Ollama to use; none leaves it off",
        check=_url,
        env=("OLLAMA_URL",),
    )
    base_url: str | None = _setting(
        None, "the same as url, by another name", check=_url, env=("OLLAMA_BASE_URL",)
    )
    connections: int = _setting(
        2,
        "connections at most, 1 to 64",
        check=between(1, MOST_CONNECTIONS),
        env=("MAX_OLLAMA_CONNECTIONS",),
    )
    idle_seconds: float = _setting(300.0, "how long an unused connection stays open", check=_seconds)
    connect_seconds: float = _setting(2.0, "how long opening a connection may take", check=_seconds)
    total_seconds: float = _setting(300.0, "how long one answer may take", check=_seconds)
    health_seconds: float = _setting(
        30.0, "how often its version and its models are asked for", check=_seconds
    )
    warm: tuple[str, ...] = _setting((), "up to 5 models that are kept in its memory", check=_warm)
    slots: int = _setting(
        0, "answers of one model at once; 0 is the number of connections", check=between(0, _MOST_SLOTS)
    )
    pull: tuple[str, ...] = _setting((), "models that it may be told to pull; none is never")
    pull_most_bytes: int = _setting(
        8 * _GIBIBYTE, "largest model that it is told to pull", check=between(1, 2**63 - 1)
    )

    def __attrs_post_init__(self) -> None:
        urls = {url.rstrip("/") for url in (self.url, self.base_url) if url}
        if len(urls) > 1:
            raise ValueError(
                f"url (OLLAMA_URL) is {self.url!r}, base_url (OLLAMA_BASE_URL) is {self.base_url!r}; set one"
            )

    @property
    def address(self) -> str | None:
        """Where the Ollama is, by either name; None where neither is set."""
        return self.url or self.base_url
