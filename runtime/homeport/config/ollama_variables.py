"""Variables of Ollama that are read in a way of their own, or not at all.

Source: https://github.com/ollama/ollama/blob/main/envconfig/config.go
"""

import re
from collections.abc import Callable, Mapping

from homeport.config.assignments import Assignment
from homeport.config.settings import DEFAULT_PORT
from homeport.domain.durations import parse_duration
from homeport.domain.errors import ConfigError, InvalidRequestError

_WITHOUT_EFFECT = re.compile(
    r"OLLAMA_(FLASH_ATTENTION|GPU_OVERHEAD|SCHED_SPREAD|LLM_LIBRARY|VULKAN|IGPU_ENABLE|REMOTES|DEBUG_LOG_REQUESTS)"
    r"|LLAMA_ARG_FIT(_TARGET)?|(CUDA|HIP|ROCR|GGML_VK)_VISIBLE_DEVICES|TORCH_NUM_THREADS"
)
_LEVELS = {"0": None, "false": None, "1": "DEBUG", "true": "DEBUG", "2": "TRACE"}
_NO_TIMEOUT_SECONDS = 1e9
"""About thirty years."""


def unquoted(environ: Mapping[str, str], name: str) -> str:
    """Read a variable without blanks and quotes around it; empty where it is not set."""
    return environ.get(name, "").strip().strip("\"'")


def without_effect(environ: Mapping[str, str]) -> tuple[str, ...]:
    """List the variables that are set, mean something to Ollama or torch, and nothing here."""
    return tuple(sorted(name for name in environ if _WITHOUT_EFFECT.fullmatch(name)))


def ollama_host(environ: Mapping[str, str]) -> list[Assignment]:
    """Split ``OLLAMA_HOST``: a host, host:port or URL; http means port 80, https 443."""
    text = unquoted(environ, "OLLAMA_HOST")
    if not text:
        return []
    scheme, separator, rest = text.rpartition("://")
    default_port = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT) if separator else DEFAULT_PORT
    match = re.fullmatch(r"(?P<host>\[[^\]]*\]|[^:/]*)(:(?P<port>\d{1,5}))?(/.*)?", rest)
    if match is None:
        message = f"OLLAMA_HOST={text!r} is no host, host:port or URL"
        raise ConfigError(message, hint="Set it like 127.0.0.1:11434, or unset it")
    port = int(match["port"] or default_port)
    host = match["host"].strip("[]") or "0.0.0.0"  # noqa: S104 - what Ollama means by ":11434"
    origin = "variable OLLAMA_HOST"
    return [Assignment(("server", "host"), host, origin), Assignment(("server", "port"), port, origin)]


def _debug_level(text: str) -> str | None:
    """Read ``OLLAMA_DEBUG``: 1 is DEBUG, 2 is TRACE, 0 leaves the level alone."""
    if text.lower() not in _LEVELS:
        raise ConfigError(f"variable OLLAMA_DEBUG: expected 0, 1 or 2, got {text!r}")
    return _LEVELS[text.lower()]


def _load_timeout(text: str) -> float:
    """Read ``OLLAMA_LOAD_TIMEOUT``: a duration or seconds; 0 and less is as long as it takes."""
    try:
        seconds = float(text) if text.lstrip("+-").isdecimal() else parse_duration(text)
    except InvalidRequestError as error:
        raise ConfigError(f"variable OLLAMA_LOAD_TIMEOUT: {error.message}") from error
    return seconds if seconds > 0 else _NO_TIMEOUT_SECONDS


READERS: Mapping[str, Callable[[str], float | str | None]] = {
    "OLLAMA_DEBUG": _debug_level,
    "OLLAMA_LOAD_TIMEOUT": _load_timeout,
}
"""Variables whose text is not that of their setting; None sets nothing."""
