"""Tools as both chat dialects offer them: functions within an object that says so."""

from collections.abc import Sequence

from homeport.domain.errors import InvalidRequestError
from homeport.domain.tools import Tool
from homeport.server.quoting import shown
from homeport.server.schemas.tools import OfferedTool
from homeport.server.tool_offers import read_each, read_tool

_FUNCTION = "function"


def read_function_tools(sent: Sequence[OfferedTool] | None) -> list[Tool]:
    """Read the field ``tools``.

    Raises:
        InvalidRequestError: One is no function, or malformed, or they are too many; names it.
    """
    return read_each("tools", sent, _tool)


def _tool(field: str, sent: OfferedTool) -> Tool:
    if sent.type not in (None, _FUNCTION):
        message = f'{field}.type must be "{_FUNCTION}", got {shown(sent.type)}'
        raise InvalidRequestError(message, field=f"{field}.type")
    if sent.function is None:
        raise InvalidRequestError(f"{field}.function is required", field=f"{field}.function")
    function = sent.function
    return read_tool(f"{field}.function", function.name, function.description, function.parameters)
