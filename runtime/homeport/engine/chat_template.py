"""A model's own chat template, rendered in a sandbox.

The dialect is that of Hugging Face tokenizers: Jinja with trimmed blocks, ``raise_exception``,
``strftime_now``, a ``tojson`` that keeps characters, loop controls and the ``generation`` block.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.exceptions import TemplateRuntimeError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from homeport.domain.errors import InvalidRequestError, LoadError
from homeport.domain.messages import Message


class _GenerationBlock(Extension):
    """``{% generation %}`` marks what the model said, for training; here it is its content."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """Renders messages into the text that a model was trained on.

    Args:
        source: Jinja source; empty joins the contents of the messages by newlines.
        special_tokens: Names the template may use, such as ``bos_token``, with their texts.

    Raises:
        LoadError: The source is not valid Jinja.
    """

    def __init__(self, source: str, special_tokens: dict[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _GenerationBlock]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        self._special_tokens = special_tokens
        try:
            self._template = environment.from_string(source) if source else None
        except TemplateError as error:
            message = f"the chat template is not valid: {error}"
            raise LoadError(message) from error

    def render(self, messages: Sequence[Message]) -> str:
        """Render a conversation, ready for the assistant's turn.

        Raises:
            InvalidRequestError: The template refuses the conversation.
        """
        if self._template is None:
            return "\n".join(message.content for message in messages)
        turns = [{"role": message.role.value, "content": message.content} for message in messages]
        try:
            return self._template.render(messages=turns, add_generation_prompt=True, **self._special_tokens)
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            message = f"the model's chat template refuses these messages: {error}"
            raise InvalidRequestError(message, field="messages") from error


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:  # noqa: ANN401 - any template value
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateRuntimeError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
