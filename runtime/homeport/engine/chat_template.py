"""A model's own chat template, or one that takes its place, rendered in a sandbox.

The dialect is that of Hugging Face tokenizers: Jinja with trimmed blocks, ``raise_exception``,
``strftime_now``, a ``tojson`` that keeps characters, loop controls and the ``generation`` block.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import TemplateRuntimeError
from jinja2.ext import Extension
from jinja2.parser import Parser

from homeport.domain.errors import InvalidRequestError, LoadError
from homeport.domain.generation import ChatPrompt
from homeport.domain.messages import Message
from homeport.domain.tools import ToolChoice
from homeport.engine.template_sandbox import TemplateSandbox
from homeport.engine.tool_turns import tool_values, turn_values, with_short_ids

_SHORT_IDS = re.compile(r"length\s*(?:!=|<)\s*9")
"""How Mistral's templates look at the ids of calls."""


class _GenerationBlock(Extension):
    """``{% generation %}`` marks what the model said, for training; here it is its content."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """Renders conversations into the text that a model was trained on.

    Args:
        source: Jinja source; empty joins the contents of the messages by newlines.
        special_tokens: Names the template may use, such as ``bos_token``, with their texts.

    Attributes:
        source: As given.

    Raises:
        LoadError: The source is not valid Jinja.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self.source = source
        self._sandbox = TemplateSandbox(["jinja2.ext.loopcontrols", _GenerationBlock], {"tojson": _to_json})
        self._sandbox.globals["raise_exception"] = _raise_exception
        self._sandbox.globals["strftime_now"] = _strftime_now
        self._special_tokens = special_tokens
        self._template = self._compiled(source)

    def render(self, prompt: ChatPrompt) -> str:
        """Render a conversation, ready for the assistant's turn.

        Raises:
            InvalidRequestError: The template refuses the conversation.
        """
        if self._template is None:
            return "\n".join(message.content for message in prompt.messages)
        try:
            return self._sandbox.rendered(self._template, self._values(prompt))
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            message = f"the model's chat template refuses these messages: {error}"
            raise InvalidRequestError(message, field="messages") from error

    def _compiled(self, source: str) -> Template | None:
        try:
            return self._sandbox.from_string(source) if source else None
        except (TemplateError, RecursionError) as error:
            message = f"the chat template is not valid: {error}"
            raise LoadError(message) from error

    def _values(self, prompt: ChatPrompt) -> dict[str, object]:
        values = {
            **self._special_tokens,
            **prompt.template_values,
            "messages": self._turns(prompt.messages),
            "add_generation_prompt": True,
        }
        if prompt.tools is not None and prompt.tools.choice is not ToolChoice.NONE:
            values["tools"] = tool_values(prompt.tools.tools)
        if prompt.thinks is not None:
            values |= {"enable_thinking": prompt.thinks, "thinking": prompt.thinks}
        if prompt.effort:
            values["reasoning_effort"] = prompt.effort
        return values

    def _turns(self, messages: Sequence[Message]) -> list[dict[str, object]]:
        turns = turn_values(messages)
        return with_short_ids(turns) if _SHORT_IDS.search(self.source) else turns


def _to_json(
    value: Any,  # noqa: ANN401 - any template value
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    **_: Any,  # noqa: ANN401
) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateRuntimeError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
