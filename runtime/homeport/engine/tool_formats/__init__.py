"""How families of models write calls of tools.

A further family is one file with a :class:`ToolFormat` and one entry in :data:`FORMATS`.
"""

from collections.abc import Mapping

from homeport.engine.tool_formats.hermes import HermesFormat
from homeport.engine.tool_formats.llama import LlamaFormat
from homeport.engine.tool_formats.mistral import MistralFormat
from homeport.engine.tool_formats.plain_json import PlainJsonFormat
from homeport.engine.tool_formats.tool_format import ToolFormat

__all__ = ["FORMATS", "ToolFormat", "format_of"]

FORMATS: tuple[type[ToolFormat], ...] = (HermesFormat, MistralFormat, LlamaFormat, PlainJsonFormat)
"""The first that recognises a template is its format; the last takes any."""


def format_of(template: str, tokens: Mapping[str, int], hidden: frozenset[str] = frozenset()) -> ToolFormat:
    """Find how the model of a chat template writes calls.

    Args:
        template: In Jinja.
        tokens: Ids of the added tokens of the model, by their text.
        hidden: Those of them that are special.
    """
    found = next(each for each in FORMATS if each.recognises(template))
    return found(template, tokens, hidden)
