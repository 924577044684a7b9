"""What every way of writing calls has to tell."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from homeport.domain.tools import Tool, ToolOffer
from homeport.engine.tool_formats.call_reader import CallReader, CallSigns


class ToolFormat(ABC):
    """How one family of models writes calls.

    Args:
        template: Chat template of the model.
        tokens: Ids of what is one added token of the model, by its text.
        hidden: Those of them that are special: they belong to no text.

    Attributes:
        hidden: The marks among those.
    """

    marks: ClassVar[tuple[str, ...]] = ()
    """Texts with a meaning of their own, which may be special tokens."""

    def __init__(self, template: str, tokens: Mapping[str, int], hidden: frozenset[str]) -> None:
        self._template = template
        self._tokens = tokens
        self.hidden = hidden.intersection(self.marks)

    @classmethod
    @abstractmethod
    def recognises(cls, template: str) -> bool:
        """Say whether a chat template teaches this way."""

    @property
    @abstractmethod
    def signs(self) -> CallSigns:
        """What tells calls from text."""

    @abstractmethod
    def grammar(self, offer: ToolOffer) -> str:
        """Write the grammar of an answer that is calls and nothing else, at least one.

        It is a Lark grammar as llguidance reads it. A named tool is called exactly once, and so is any
        where calls must not be parallel.

        Args:
            offer: The parameters of its tools are written as they are.
        """

    def reader(self, offer: ToolOffer) -> CallReader:
        """Build what reads one answer."""
        return CallReader(self.signs, offer)

    def mark(self, text: str) -> str:
        """Write a mark in a grammar: its token where it is one."""
        return literal(text) if text not in self._tokens else f"<[{self._tokens[text]}]>"


def literal(text: str) -> str:
    """Write a text in a grammar."""
    return json.dumps(text, ensure_ascii=False)


def allowed(offer: ToolOffer) -> tuple[Tool, ...]:
    """Give the tools that may be called."""
    return tuple(tool for tool in offer.tools if not offer.name or tool.name == offer.name)


def is_single(offer: ToolOffer) -> bool:
    """Say whether forced calls are exactly one."""
    return bool(offer.name) or not offer.parallel


def object_rules(offer: ToolOffer, arguments_key: str) -> str:
    """Write the rule ``call``: a JSON object with name and arguments, as ``json.dumps`` would."""
    rules = []
    for place, tool in enumerate(allowed(offer)):
        head = literal(f'{{"name": {json.dumps(tool.name, ensure_ascii=False)}, "{arguments_key}": ')
        rules.append(f'call_{place}: {head} arguments_{place} "}}"')
    return "\n".join([_choice(offer), *rules, argument_rules(offer)])


def argument_rules(offer: ToolOffer) -> str:
    """Write the rules ``arguments_0``, ``arguments_1``, ...: objects by the schemas of the tools."""
    return "\n".join(
        f"arguments_{place}: %json {json.dumps(dict(tool.parameters))}"
        for place, tool in enumerate(allowed(offer))
    )


def _choice(offer: ToolOffer) -> str:
    return "call: " + " | ".join(f"call_{place}" for place in range(len(allowed(offer))))
