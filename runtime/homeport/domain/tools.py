"""Tools that a model may call, and its calls."""

from collections.abc import Mapping
from enum import StrEnum

import attrs


@attrs.frozen(kw_only=True)
class Tool:
    """A function that a client offers to the model.

    Attributes:
        name: What the model calls it by.
        description: What it is good for, in words for the model.
        parameters: JSON Schema of its arguments, an object; the order of keys is the client's.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, object] = attrs.field(factory=dict)


class ToolChoice(StrEnum):
    """Whether the model calls tools: as it likes, never, or at least one."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


@attrs.frozen(kw_only=True)
class ToolOffer:
    """The tools of a request and how they may be used.

    Attributes:
        tools: At least one; their names differ.
        choice: Whether one has to be called.
        name: The only one that may be called; empty leaves the choice to the model.
        parallel: Whether one answer may hold several calls.
    """

    tools: tuple[Tool, ...]
    choice: ToolChoice = ToolChoice.AUTO
    name: str = ""
    parallel: bool = True


@attrs.frozen(kw_only=True)
class ToolCall:
    """A call that a model made.

    Attributes:
        id: Of the call, unique within its conversation: ``call_`` and eight characters.
        name: Of the tool.
        arguments: JSON text of an object, as the model wrote it.
    """

    id: str
    name: str
    arguments: str = "{}"
