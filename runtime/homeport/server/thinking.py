"""Whether and how much a model shall think, in both dialects' words."""

import attrs

from homeport.domain.errors import InvalidRequestError, UnsupportedError
from homeport.domain.models import Capability, ModelInfo
from homeport.server.quoting import quoted, shown

EFFORTS = {
    "none": "",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "ultra": "max",
    "max": "max",
}
"""OpenAI's efforts as Ollama's levels; ``none`` is no thought at all."""

_LEVELS = ("high", "medium", "low", "max")


@attrs.frozen
class Thinking:
    """What was asked for.

    Attributes:
        thinks: None leaves it to the model.
        effort: How much; empty leaves it to the template.
    """

    thinks: bool | None = None
    effort: str = ""


def read_think(value: object, model: ModelInfo, name: str) -> Thinking:
    """Read Ollama's ``think``: a boolean, or a level, which asks for thoughts.

    Raises:
        InvalidRequestError: It is neither.
        UnsupportedError: The model cannot think, and shall.
    """
    if value is None:
        return Thinking()
    if not isinstance(value, bool) and value not in _LEVELS:
        allowed = ", ".join(quoted(level) for level in _LEVELS)
        message = f"invalid think value: {shown(value)} (must be {allowed}, true, or false)"
        raise InvalidRequestError(message, field="think")
    if value is not False and Capability.THINKING not in model.capabilities:
        raise UnsupportedError(f'"{name}" does not support thinking', field="think")
    return Thinking(thinks=value is not False, effort=value if isinstance(value, str) else "")


def read_effort(field: str, value: str | None, model: ModelInfo) -> Thinking:
    """Read OpenAI's effort; a model that cannot think ignores it.

    Raises:
        InvalidRequestError: It is no known effort.
    """
    if value is None:
        return Thinking()
    if value not in EFFORTS:
        message = f"{field} must be one of {', '.join(EFFORTS)}, got {shown(value)}"
        raise InvalidRequestError(message, field=field)
    if Capability.THINKING not in model.capabilities:
        return Thinking()
    return Thinking(thinks=bool(EFFORTS[value]), effort=EFFORTS[value])
