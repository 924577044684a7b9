"""Calls as Hermes and Qwen write them: ``<tool_call>{"name": ..., "arguments": ...}</tool_call>``."""

from homeport.domain.tools import ToolOffer
from homeport.engine.tool_formats.call_reader import CallSigns
from homeport.engine.tool_formats.tool_format import ToolFormat, is_single, object_rules

_BEGIN = "<tool_call>"
_END = "</tool_call>"
_OTHER_SYNTAX = "<function="
"""Qwen3-Coder writes arguments as elements, between the same marks."""


class HermesFormat(ToolFormat):
    """Qwen2.5, Qwen3, Hermes 2 and 3, SmolLM3: each call stands between two marks."""

    marks = (_BEGIN, _END)

    @classmethod
    def recognises(cls, template: str) -> bool:
        """Look for the mark, without the elements that some put between."""
        return _BEGIN in template and _OTHER_SYNTAX not in template

    @property
    def signs(self) -> CallSigns:
        """Two marks."""
        return CallSigns(begin=_BEGIN, end=_END, hidden=self.hidden)

    def grammar(self, offer: ToolOffer) -> str:
        """Write calls on lines of their own, as the templates show them."""
        more = "" if is_single(offer) else ' ("\\n" marked)*'
        marked = f'marked: {self.mark(_BEGIN)} "\\n" call "\\n" {self.mark(_END)}'
        return f"start: marked{more}\n{marked}\n{object_rules(offer, 'arguments')}\n"
