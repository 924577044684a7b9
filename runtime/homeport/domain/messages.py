"""Chat messages."""

from enum import StrEnum

import attrs


class Role(StrEnum):
    """Who speaks in a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@attrs.frozen
class Message:
    """One turn of a conversation."""

    role: Role
    content: str
