"""The tools that a request offers, bounded, and how they may be used."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from homeport.domain.errors import InvalidRequestError
from homeport.domain.tools import Tool, ToolChoice, ToolOffer
from homeport.server.constraints import checked_schema
from homeport.server.limits import at_most
from homeport.server.quoting import shown

MAX_TOOLS = 128
MAX_DESCRIPTION_CHARACTERS = 64 * 1024

SentT = TypeVar("SentT")

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def read_tool(
    field: str, name: object, description: str | None, parameters: object, *, schema_field: str = "parameters"
) -> Tool:
    """Read one tool.

    Args:
        field: Where it stands in the request, such as ``tools[0].function``.
        name: What the model calls it by.
        description: What it is good for.
        parameters: JSON Schema of its arguments; None is a tool without any.
        schema_field: How the dialect calls ``parameters``.

    Raises:
        InvalidRequestError: A part is malformed or too large; names it.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        message = f"{field}.name must be 1 to 64 letters, digits, dots, dashes or underscores"
        raise InvalidRequestError(f"{message}, got {shown(name)}", field=f"{field}.name")
    at_most(f"{field}.description", len(description or ""), MAX_DESCRIPTION_CHARACTERS, "characters")
    schema = {} if parameters is None else checked_schema(f"{field}.{schema_field}", parameters)
    return Tool(name=name, description=description or "", parameters=schema)


def read_each(field: str, sent: Sequence[SentT] | None, read: Callable[[str, SentT], Tool]) -> list[Tool]:
    """Read tools, each by its place, unless there are too many.

    Raises:
        InvalidRequestError: There are, or one is malformed.
    """
    at_most(field, len(sent or ()), MAX_TOOLS, "tools")
    return [read(f"{field}[{place}]", tool) for place, tool in enumerate(sent or ())]


def read_offer(
    tools: Sequence[Tool],
    choice: ToolChoice = ToolChoice.AUTO,
    name: str = "",
    parallel: bool = True,  # noqa: FBT001, FBT002 - the fields of an offer, in order
    *,
    choice_field: str = "tool_choice",
) -> ToolOffer | None:
    """Put tools and the choice among them together.

    Args:
        tools: What :func:`read_each` gave.
        choice: Whether one has to be called.
        name: The only one that may be called; empty leaves the choice to the model.
        parallel: Whether one answer may hold several calls.
        choice_field: How the dialect calls the choice.

    Returns:
        None where there are no tools.

    Raises:
        InvalidRequestError: There are two of one name, none to choose from, or none of the name.
    """
    names = [tool.name for tool in tools]
    twice = next((each for place, each in enumerate(names) if each in names[:place]), None)
    if twice is not None:
        raise InvalidRequestError(f"tools must have different names, got {shown(twice)} twice", field="tools")
    if name and name not in names:
        known = ", ".join(names) or "none"
        message = f"{choice_field} names an unknown tool {shown(name)}; tools: {known}"
        raise InvalidRequestError(message, field=choice_field)
    if not tools and choice is ToolChoice.REQUIRED:
        raise InvalidRequestError(f"{choice_field} needs tools to choose from, got none", field=choice_field)
    return ToolOffer(tools=tuple(tools), choice=choice, name=name, parallel=parallel) if tools else None
