"""Anthropic's messages as those of the house."""

from collections.abc import Iterable, Iterator, Sequence

import attrs
import msgspec

from homeport.domain.errors import InvalidRequestError
from homeport.domain.messages import Message, Role
from homeport.domain.tools import ToolCall
from homeport.server.quoting import shown
from homeport.server.refusals import lacks_capability
from homeport.server.schemas import anthropic as schema

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}
_BETWEEN_TEXTS = "\n"
"""Clients send paragraphs as blocks of their own."""

SentText = str | list[schema.SentBlock]


def read_conversation(
    system: SentText | None, sent: Sequence[schema.SentMessage], model: str
) -> tuple[Message, ...]:
    """Translate a conversation; results of tools become messages of their own.

    Args:
        system: What the model is told before.
        sent: The turns, oldest first.
        model: The name as the client sent it.

    Raises:
        InvalidRequestError: A message has an unknown role or a broken block.
        UnsupportedError: A message holds what the model cannot read.
    """
    reader = _Reader(model)
    before = [Message(Role.SYSTEM, reader.text("system", system))] if system else []
    turns = (turn for place, each in enumerate(sent) for turn in reader.turns(f"messages[{place}]", each))
    return (*before, *turns)


@attrs.frozen
class _Reader:
    """Reads turn after turn."""

    _model: str

    def turns(self, field: str, sent: schema.SentMessage) -> Iterator[Message]:
        role = _ROLES.get(sent.role or "")
        if role is None:
            message = f"{field}.role must be one of user, assistant, got {shown(sent.role)}"
            raise InvalidRequestError(message, field=f"{field}.role")
        if sent.content is None:
            message = f"invalid request: {field}.content: expected str or array, got null"
            raise InvalidRequestError(message, field=f"{field}.content")
        if isinstance(sent.content, str):
            yield Message(role, sent.content)
        elif role is Role.ASSISTANT:
            yield self._answer(f"{field}.content", sent.content)
        else:
            yield from self._question(f"{field}.content", role, sent.content)

    def text(self, field: str, content: SentText) -> str:
        """Join the texts of blocks."""
        if isinstance(content, str):
            return content
        texts = (self._words(f"{field}[{place}]", block) for place, block in enumerate(content))
        return _joined(texts)

    def _question(self, field: str, role: Role, blocks: Sequence[schema.SentBlock]) -> Iterator[Message]:
        """Split what a user sends into results of tools and the texts between them."""
        texts: list[str | None] = []
        for place, block in enumerate(blocks):
            where = f"{field}[{place}]"
            if block.type != "tool_result":
                texts.append(self._words(where, block))
                continue
            if any(texts):
                yield Message(role, _joined(texts))
            texts = []
            yield self._result(where, block)
        if any(texts) or not any(block.type == "tool_result" for block in blocks):
            yield Message(role, _joined(texts))

    def _answer(self, field: str, blocks: Sequence[schema.SentBlock]) -> Message:
        calls = [
            self._call(f"{field}[{place}]", block)
            for place, block in enumerate(blocks)
            if block.type == "tool_use"
        ]
        thoughts = (block.thinking for block in blocks if block.type == "thinking")
        return Message(
            Role.ASSISTANT,
            self.text(field, list(blocks)),
            thinking=_joined(thoughts),
            tool_calls=tuple(calls),
        )

    def _call(self, field: str, block: schema.SentBlock) -> ToolCall:
        for name, value in (("id", block.id), ("name", block.name)):
            if not value:
                message = f"tool_use block missing required '{name}' field"
                raise InvalidRequestError(message, field=f"{field}.{name}")
        given = {} if block.input is None else block.input
        if not isinstance(given, dict):
            message = f"invalid request: {field}.input: expected object, got {shown(given)}"
            raise InvalidRequestError(message, field=f"{field}.input")
        return ToolCall(
            id=block.id or "", name=block.name or "", arguments=msgspec.json.encode(given).decode()
        )

    def _result(self, field: str, block: schema.SentBlock) -> Message:
        if not block.tool_use_id:
            message = "tool_result block missing required 'tool_use_id' field"
            raise InvalidRequestError(message, field=f"{field}.tool_use_id")
        return Message(
            Role.TOOL,
            self.text(f"{field}.content", _content(f"{field}.content", block.content)),
            tool_call_id=block.tool_use_id,
        )

    def _words(self, field: str, block: schema.SentBlock) -> str | None:
        """Give the text of a block; None for one that says nothing to the model."""
        match block.type:
            case "text":
                return block.text or ""
            case "image":
                raise lacks_capability(self._model, "vision", field=field)
            case "document":
                return self._document(field, block.source)
        return None

    def _document(self, field: str, source: object) -> str:
        if isinstance(source, dict) and source.get("type") == "text" and isinstance(source.get("data"), str):
            return str(source["data"])
        raise lacks_capability(self._model, "documents other than plain text", field=field)


def _content(field: str, sent: object) -> SentText:
    """Read the content of a result."""
    if sent is None:
        return ""
    try:
        content: SentText = msgspec.convert(sent, SentText)
    except msgspec.ValidationError:
        message = f"invalid request: {field}: expected str or array of blocks, got {shown(sent)}"
        raise InvalidRequestError(message, field=field) from None
    return content


def _joined(texts: Iterable[str | None]) -> str:
    return _BETWEEN_TEXTS.join(text for text in texts if text)
