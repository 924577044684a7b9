"""What a chat template tells of its model, read without rendering it."""

import re

from homeport.domain.models import Capability
from homeport.engine.thought_markers import markers_of

_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_CODE = re.compile(r"\{[%{](.*?)[%}]\}", re.DOTALL)
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_TOOLS = re.compile(r"(?<![\w.])tools(?!\w)(?!\s*=(?!=))")


def capabilities_of_template(template: str) -> frozenset[Capability]:
    """Say what a model can do beyond text, as its chat template in Jinja shows.

    It takes tools where the template reads the variable ``tools``, and thinks where it knows
    ``enable_thinking`` or marks thoughts.
    """
    shown = _COMMENT.sub("", template)
    found = set()
    if any(_TOOLS.search(_STRING.sub("''", code)) for code in _CODE.findall(shown)):
        found.add(Capability.TOOLS)
    if markers_of(shown) is not None:
        found.add(Capability.THINKING)
    return frozenset(found)
