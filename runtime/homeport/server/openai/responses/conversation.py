"""The items of a request as the messages of the house."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from homeport.domain.call_links import linked
from homeport.domain.errors import InvalidRequestError
from homeport.domain.messages import Message, Role
from homeport.server.quoting import shown
from homeport.server.refusals import lacks_capability
from homeport.server.schemas import responses as schema
from homeport.server.schemas.tools import CalledFunction
from homeport.server.tool_calls import read_call

if TYPE_CHECKING:
    from homeport.domain.tools import ToolCall

_ROLES = {
    "developer": Role.SYSTEM,
    "system": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
}
_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
_ITEMS = "message, function_call, function_call_output, reasoning"
_IMAGE_URL = "image URLs are not currently supported, please use base64 encoded data instead"

Content = str | list[schema.SentPart]


def read_conversation(
    instructions: str | None, sent: str | Sequence[schema.SentItem] | None, model: str
) -> tuple[Message, ...]:
    """Translate a conversation; thoughts and calls go to the assistant's message they belong to.

    Args:
        instructions: What the model is told before.
        sent: The input.
        model: The name as the client sent it.

    Raises:
        InvalidRequestError: It is empty, or an item is of an unknown kind or broken.
        UnsupportedError: An item holds what the model cannot read.
    """
    if not sent:
        raise InvalidRequestError("[] is too short - 'input'", field="input")
    items = [schema.SentItem(role="user", content=sent)] if isinstance(sent, str) else sent
    reader = _Reader(model)
    for place, item in enumerate(items):
        reader.read(f"input[{place}]", item)
    before = [Message(Role.SYSTEM, instructions)] if instructions else []
    return linked((*before, *reader.messages()))


class _Reader:
    """Puts the items of one turn of the assistant together."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._messages: list[Message] = []
        self._thoughts: list[str] = []
        self._texts: list[str] = []
        self._calls: list[ToolCall] = []

    def read(self, field: str, item: schema.SentItem) -> None:
        match item.type:
            case None | "message":
                self._message(field, item)
            case "reasoning":
                if self._texts or self._calls:
                    self._close()
                self._thoughts.append(self._text(f"{field}.summary", item.summary or []))
            case "function_call":
                self._calls.append(
                    read_call(
                        field, CalledFunction(name=item.name, arguments=item.arguments), _call_id(field, item)
                    )
                )
            case "function_call_output":
                self._close()
                output = self._text(f"{field}.output", item.output or "")
                self._messages.append(Message(Role.TOOL, output, tool_call_id=_call_id(field, item)))
            case kind:
                message = f"{field}.type must be one of {_ITEMS}, got {shown(kind)}; nothing is kept here"
                raise InvalidRequestError(message, field=f"{field}.type")

    def messages(self) -> Sequence[Message]:
        """Give all of them."""
        self._close()
        return self._messages

    def _message(self, field: str, item: schema.SentItem) -> None:
        role = _ROLES.get(item.role or "")
        if role is None:
            message = f"{field}.role must be one of {', '.join(_ROLES)}, got {shown(item.role)}"
            raise InvalidRequestError(message, field=f"{field}.role")
        if item.content is None:
            message = f"invalid request: {field}.content: expected str or array, got null"
            raise InvalidRequestError(message, field=f"{field}.content")
        text = self._text(f"{field}.content", item.content)
        if role is not Role.ASSISTANT:
            self._close()
            self._messages.append(Message(role, text))
            return
        if self._texts or self._calls:
            self._close()
        self._texts.append(text)

    def _close(self) -> None:
        """End the turn of the assistant that is being put together."""
        if self._thoughts or self._texts or self._calls:
            turn = Message(
                Role.ASSISTANT,
                "".join(self._texts),
                thinking="\n".join(self._thoughts),
                tool_calls=tuple(self._calls),
            )
            self._messages.append(turn)
        self._thoughts, self._texts, self._calls = [], [], []

    def _text(self, field: str, content: Content) -> str:
        if isinstance(content, str):
            return content
        return "".join(self._part(f"{field}[{place}]", part) for place, part in enumerate(content))

    def _part(self, field: str, part: schema.SentPart) -> str:
        if part.type in _TEXTS:
            return part.text or ""
        match part.type:
            case "refusal":
                return part.refusal or ""
            case "input_image":
                if isinstance(part.image_url, str) and not part.image_url.startswith("data:"):
                    raise InvalidRequestError(_IMAGE_URL, field=field)
                raise lacks_capability(self._model, "vision", field=field)
            case "input_audio":
                raise lacks_capability(self._model, "audio", field=field)
        message = f"{field}.type must be one of input_text, output_text, got {shown(part.type)}"
        raise InvalidRequestError(message, field=f"{field}.type")


def _call_id(field: str, item: schema.SentItem) -> str:
    if not item.call_id:
        raise InvalidRequestError(f"{field}.call_id is required", field=f"{field}.call_id")
    return item.call_id
