"""Tools and calls as both chat dialects send them."""

from typing import Any

import msgspec


class OfferedFunction(msgspec.Struct, kw_only=True):
    """A function that a client offers; ``parameters`` is a JSON Schema whose keys keep their order."""

    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None


class OfferedTool(msgspec.Struct, kw_only=True):
    """A tool that a client offers; only functions are known."""

    type: str | None = None
    function: OfferedFunction | None = None


class CalledFunction(msgspec.Struct, kw_only=True):
    """What an assistant called earlier; the arguments are an object, or its JSON text."""

    name: str | None = None
    arguments: dict[str, Any] | str | None = None


class EarlierCall(msgspec.Struct, kw_only=True):
    """A call in a message of an assistant."""

    id: str | None = None
    function: CalledFunction | None = None
