"""Calls as plain JSON: an answer that is an object with name and arguments, or a list of them."""

import re

from homeport.domain.tools import ToolOffer
from homeport.engine.tool_formats.call_reader import CallSigns
from homeport.engine.tool_formats.tool_format import ToolFormat, is_single, object_rules

_PARAMETERS = re.compile(r"""\\?["']name\\?["'].{0,60}?\\?["']parameters\\?["']\s*:""", re.DOTALL)


class PlainJsonFormat(ToolFormat):
    """Whatever no other format knows: the template tells its model to answer in JSON."""

    @classmethod
    def recognises(cls, template: str) -> bool:  # noqa: ARG003 - every one
        """Take any template."""
        return True

    @property
    def signs(self) -> CallSigns:
        """Nothing but JSON at the beginning."""
        return CallSigns(is_bare=True, separators=";,")

    def grammar(self, offer: ToolOffer) -> str:
        """Write one object, or a list where several may be called."""
        key = "parameters" if _PARAMETERS.search(self._template) else "arguments"
        start = "call" if is_single(offer) else 'call | "[" call (", " call)* "]"'
        return f"start: {start}\n{object_rules(offer, key)}\n"
