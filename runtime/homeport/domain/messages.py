"""Chat messages."""

from enum import StrEnum

import attrs

from homeport.domain.tools import ToolCall


class Role(StrEnum):
    """Who speaks in a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@attrs.frozen
class Message:
    """One turn of a conversation.

    Attributes:
        role: Who speaks.
        content: What is said; may be empty beside calls.
        thinking: What an assistant thought before it spoke.
        tool_calls: What an assistant called.
        tool_name: Whose result a tool's message holds, where that is known.
        tool_call_id: Which call it answers, where that is known.
    """

    role: Role
    content: str
    thinking: str = attrs.field(default="", kw_only=True)
    tool_calls: tuple[ToolCall, ...] = attrs.field(default=(), kw_only=True)
    tool_name: str = attrs.field(default="", kw_only=True)
    tool_call_id: str = attrs.field(default="", kw_only=True)
