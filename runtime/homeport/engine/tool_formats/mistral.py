"""Calls as Mistral writes them, ``[TOOL_CALLS]`` first: a list of objects, or names with arguments."""

from homeport.domain.tools import ToolOffer
from homeport.engine.tool_formats.call_reader import CallSigns
from homeport.engine.tool_formats.tool_format import (
    ToolFormat,
    allowed,
    argument_rules,
    is_single,
    literal,
    object_rules,
)

_BEGIN = "[TOOL_CALLS]"
_ARGUMENTS = "[ARGS]"
_ID = "[CALL_ID]"


class MistralFormat(ToolFormat):
    """Mistral 7B v0.3 to Small 3.1 write one list behind the mark, later ones a mark before each call."""

    marks = (_BEGIN, _ARGUMENTS, _ID)

    @classmethod
    def recognises(cls, template: str) -> bool:
        """Look for the mark."""
        return _BEGIN in template

    @property
    def signs(self) -> CallSigns:
        """One mark, whatever follows."""
        return CallSigns(begin=_BEGIN, before_arguments=_ARGUMENTS, before_id=_ID, hidden=self.hidden)

    def grammar(self, offer: ToolOffer) -> str:
        """Write a list of objects, or names with arguments where the template shows those."""
        if _ARGUMENTS in self._template:
            return self._named_calls(offer)
        more = "" if is_single(offer) else ' (", " call)*'
        start = f'start: {self.mark(_BEGIN)} "[" call{more} "]"'
        return f"{start}\n{object_rules(offer, 'arguments')}\n"

    def _named_calls(self, offer: ToolOffer) -> str:
        more = "" if is_single(offer) else "+"
        rules = [
            f"call_{place}: {literal(tool.name)} {self.mark(_ARGUMENTS)} arguments_{place}"
            for place, tool in enumerate(allowed(offer))
        ]
        marked = f"marked: {self.mark(_BEGIN)} ({' | '.join(f'call_{place}' for place in range(len(rules)))})"
        return "\n".join([f"start: marked{more}", marked, *rules, argument_rules(offer), ""])
