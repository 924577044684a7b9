"""Calls as Llama 3 writes them: an answer that is ``{"name": ..., "parameters": ...}``."""

from homeport.domain.tools import ToolOffer
from homeport.engine.tool_formats.call_reader import CallSigns
from homeport.engine.tool_formats.tool_format import ToolFormat, is_single, object_rules

_BEGIN = "<|python_tag|>"


class LlamaFormat(ToolFormat):
    """Llama 3.1 to 3.3: the whole answer, perhaps behind a mark; several calls are parted by semicolons."""

    marks = (_BEGIN,)

    @classmethod
    def recognises(cls, template: str) -> bool:
        """Look for the headers of its turns, whose tool results are ``ipython``'s."""
        return _BEGIN in template or ("<|start_header_id|>" in template and "ipython" in template)

    @property
    def signs(self) -> CallSigns:
        """A mark that may be missing at the beginning."""
        return CallSigns(begin=_BEGIN, is_bare=True, separators=";,", hidden=self.hidden)

    def grammar(self, offer: ToolOffer) -> str:
        """Write calls without the mark, as the templates ask for them."""
        more = "" if is_single(offer) else ' ("; " call)*'
        return f"start: call{more}\n{object_rules(offer, 'parameters')}\n"
