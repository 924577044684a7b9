"""Calls of tools within a conversation: read from requests, and tied to their results."""

from collections.abc import Sequence

import msgspec

from homeport.domain.errors import InvalidRequestError
from homeport.domain.tools import ToolCall
from homeport.server.limits import at_most
from homeport.server.quoting import shown
from homeport.server.schemas.tools import CalledFunction, EarlierCall

MAX_CALLS = 128
"""In one message."""


def read_calls(field: str, sent: Sequence[EarlierCall] | None) -> tuple[ToolCall, ...]:
    """Read the calls of a message; an id that was not sent stays empty.

    Raises:
        InvalidRequestError: One has no name, or arguments that are no object; names it.
    """
    at_most(field, len(sent or ()), MAX_CALLS, "calls")
    return tuple(
        read_call(f"{field}[{place}].function", call.function, call.id or "")
        for place, call in enumerate(sent or ())
    )


def read_call(field: str, sent: CalledFunction | None, name_of_call: str = "") -> ToolCall:
    """Read one call.

    Args:
        field: Where it stands in the request.
        sent: What was called.
        name_of_call: Its id.

    Raises:
        InvalidRequestError: It has no name, or its arguments are no object.
    """
    if sent is None or not sent.name:
        raise InvalidRequestError(f"{field}.name is required", field=f"{field}.name")
    arguments = sent.arguments or "{}"
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    if object_text(text) is None:
        message = f"{field}.arguments must be an object of JSON, got {shown(arguments)}"
        raise InvalidRequestError(message, field=f"{field}.arguments")
    return ToolCall(id=name_of_call, name=sent.name, arguments=text)


def object_text(text: str) -> str | None:
    """Write an object of JSON on one line, its keys and numbers as they are; None for anything else."""
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return msgspec.json.format(text, indent=-1)
