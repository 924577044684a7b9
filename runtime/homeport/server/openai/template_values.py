"""``chat_template_kwargs``: further values for the model's chat template."""

import re
from collections.abc import Mapping

import attrs

from homeport.domain.errors import InvalidRequestError
from homeport.domain.models import Capability, ModelInfo
from homeport.server.limits import at_most
from homeport.server.quoting import shown
from homeport.server.thinking import Thinking

MAX_VALUES = 32
MAX_ITEMS = 64
MAX_CHARACTERS = 4096

_FIELD = "chat_template_kwargs"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_OWN = frozenset(
    {
        "messages",
        "tools",
        "documents",
        "add_generation_prompt",
        "continue_final_message",
        "bos_token",
        "eos_token",
        "unk_token",
        "pad_token",
        "raise_exception",
        "strftime_now",
        "tojson",
        "loop",
        "namespace",
        "range",
    }
)
"""What templates are given anyway; another value would change what they mean."""
_SWITCHES = ("enable_thinking", "thinking")


@attrs.frozen
class TemplateValues:
    """What was given.

    Attributes:
        values: For the template.
        thinking: Whether the model shall think, which templates have several names for.
    """

    values: Mapping[str, object] = attrs.field(factory=dict)
    thinking: Thinking = Thinking()


def read_template_values(given: Mapping[str, object] | None, model: ModelInfo) -> TemplateValues:
    """Read the field: scalars, and lists of them.

    Raises:
        InvalidRequestError: A name is impossible or taken, or a value too large or of another kind.
    """
    given = given or {}
    at_most(_FIELD, len(given), MAX_VALUES, "values")
    for name, value in given.items():
        _check(f"{_FIELD}.{name}", name, value)
    switches = [given[name] for name in _SWITCHES if isinstance(given.get(name), bool)]
    thinks = bool(switches[0]) if switches and Capability.THINKING in model.capabilities else None
    rest = {name: value for name, value in given.items() if name not in _SWITCHES or thinks is None}
    return TemplateValues(rest, Thinking(thinks))


def _check(field: str, name: str, value: object) -> None:
    if not _NAME.fullmatch(name) or name in _OWN:
        message = f"{_FIELD} must not hold {shown(name)}: a name is letters, digits and underscores, and free"
        raise InvalidRequestError(message, field=_FIELD)
    items = value if isinstance(value, list) else [value]
    at_most(field, len(items), MAX_ITEMS, "values")
    for item in items:
        if not isinstance(item, str | int | float | None):
            message = f"{field} must be a scalar or a list of scalars, got {shown(value)}"
            raise InvalidRequestError(message, field=field)
        at_most(field, len(item) if isinstance(item, str) else 0, MAX_CHARACTERS, "characters")
