"""Settings of the backends, ``[plugins.remote]``."""

import math
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import attrs

from homeport import between, one_of

MOST_UPSTREAMS = 32
MOST_CONNECTIONS = 256

_MOST_SLOTS = 1024
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Kind(StrEnum):
    """What another server is."""

    OPENAI = "openai"
    """One that speaks OpenAI's API."""
    HOMEPORT = "homeport"
    """Another homeport, which also tells its models, memory and load."""


def _setting(
    default: Any,  # noqa: ANN401 - of the setting's type
    summary: str,
    *,
    check: Callable[..., None] | None = None,
) -> Any:  # noqa: ANN401 - as attrs.field
    metadata = {"summary": summary, "check": check}
    if callable(default):
        return attrs.field(factory=default, metadata=metadata)
    return attrs.field(default=default, metadata=metadata)


def _url(value: str) -> None:
    from homeport.upstream import upstream_url  # noqa: PLC0415 - aiohttp is not needed to list plugins

    upstream_url(value)


def _variable(value: str | None) -> None:
    # What does not look like a name may be the key itself, which no message may show.
    if value is not None and not _VARIABLE.fullmatch(value):
        raise ValueError("must be the name of a variable that holds the key, never the key itself")


def _seconds(value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"must be a finite number of seconds above 0, got {value!r}")


def _names(value: Mapping[str, object]) -> None:
    if len(value) > MOST_UPSTREAMS:
        raise ValueError(f"must be {MOST_UPSTREAMS} servers at most, got {len(value)}")
    for name in value:
        if not _NAME.fullmatch(name):
            raise ValueError(f"names are of lower case, digits and single dashes, got {name!r}")


@attrs.frozen(kw_only=True)
class UpstreamConfig:
    """One other server.

    Attributes:
        url: Root of its API; for OpenAI's with the path that its clients use, mostly ``/v1``.
        kind: What it is.
        key_env: Variable that holds the key.
        key_file: File that holds the key, which only we may read.
        models: Model names here and what each is called there; none lists all that there are.
        embeds: Names there of models that make vectors; none are those with ``embed`` in their names.
        slots: Answers of one model at once; 0 finds out.
        connections: How many there are at most.
        idle_seconds: How long an unused connection stays open.
        connect_seconds: How long opening one may take.
        total_seconds: How long one exchange may take.
        health_seconds: How often its models are asked for.
    """

    url: str = attrs.field(metadata={"summary": "root of its API", "check": _url})
    kind: str = _setting("openai", "what it is: openai or homeport", check=one_of(Kind))
    key_env: str | None = _setting(None, "variable that holds the key", check=_variable)
    key_file: Path | None = _setting(None, "file that holds the key, readable by you alone")
    models: Mapping[str, str] = _setting(dict, "model names here and there; none is all that it lists")
    embeds: tuple[str, ...] = _setting((), "models there that make vectors; none goes by their names")
    slots: int = _setting(0, "answers of one model at once; 0 finds out", check=between(0, _MOST_SLOTS))
    connections: int = _setting(16, "connections at most", check=between(1, MOST_CONNECTIONS))
    idle_seconds: float = _setting(60.0, "how long an unused connection stays open", check=_seconds)
    connect_seconds: float = _setting(2.0, "how long opening a connection may take", check=_seconds)
    total_seconds: float = _setting(600.0, "how long one answer may take", check=_seconds)
    health_seconds: float = _setting(30.0, "how often its models are asked for", check=_seconds)

    def __attrs_post_init__(self) -> None:
        if self.key_env is not None and self.key_file is not None:
            raise ValueError("key_env and key_file are both set; keep one")


@attrs.frozen(kw_only=True)
class RemoteConfig:
    """Other servers by name; each is a backend of its own, ``remote-NAME``."""

    upstreams: Mapping[str, UpstreamConfig] = _setting(
        dict, "other servers, by names of your own: [plugins.remote.upstreams.NAME]", check=_names
    )
