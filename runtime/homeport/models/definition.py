"""What a Modelfile says of a model besides its weights."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import attrs

from homeport.domain.errors import InvalidRequestError, StoreError
from homeport.domain.messages import Message, Role
from homeport.models.durable import read_record
from homeport.models.records import Value, decode_record, encode_record

DEFINITION_FILE = "definition.json"
"""A source may leave this file beside the weights that it fetched."""

MAX_TEXT_CHARACTERS = 1024**2
"""Longest system text, template, licence or message."""

_MAX_PARAMETERS = 128
_MAX_PARAMETER_TEXTS = 64
_MAX_PARAMETER_CHARACTERS = 4096
_MAX_MESSAGES = 1024
_SPEAKERS = (Role.SYSTEM, Role.USER, Role.ASSISTANT)
_PARAMETER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_SEMVER = re.compile(
    r"v?(0|[1-9]\d*)(\.(0|[1-9]\d*)){0,2}(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)


@attrs.frozen(kw_only=True)
class Definition:
    """Texts and defaults that go with weights; what is empty is not said.

    Attributes:
        system: What the model is told before every conversation.
        template: Its chat template, in Jinja or in Go's ``text/template``.
        messages: What precedes every conversation; spoken by system, user or assistant.
        parameters: Defaults, in Ollama's option names.
        license: Name or text.
        requires: Oldest release of Ollama that can run it, a semantic version.
    """

    system: str = ""
    template: str = ""
    messages: tuple[Message, ...] = ()
    parameters: Mapping[str, Value] = attrs.field(factory=dict)
    license: str = ""
    requires: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return self == Definition()

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read ``definition.json`` of a folder; None where there is none.

        Raises:
            StoreError: It is no such file; names the field at fault.
            InvalidRequestError: It says what no definition may say.
        """
        try:
            data = read_record(folder / DEFINITION_FILE)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{DEFINITION_FILE} cannot be read: {error.strerror}") from error
        definition = decode_record(cls, data)
        definition.check()
        return definition

    def write(self, folder: Path) -> None:
        """Leave it as ``definition.json`` in a folder."""
        (folder / DEFINITION_FILE).write_bytes(encode_record(self))

    def check(self) -> None:
        """Check sizes, speakers and names; the values of options are checked by who knows them.

        Raises:
            InvalidRequestError: Names the field at fault and what it may be.
        """
        for field in ("system", "template", "license"):
            _check_text(field, getattr(self, field))
        _check_messages(self.messages)
        _check_parameters(self.parameters)
        if self.requires and not _SEMVER.fullmatch(self.requires):
            raise InvalidRequestError("requires must be a valid semver (e.g. 0.14.0)", field="requires")


def _check_text(field: str, text: str) -> None:
    if len(text) > MAX_TEXT_CHARACTERS:
        message = f"{field} has {len(text)} characters, at most {MAX_TEXT_CHARACTERS} are taken"
        raise InvalidRequestError(message, field=field)


def _check_messages(messages: tuple[Message, ...]) -> None:
    if len(messages) > _MAX_MESSAGES:
        text = f"messages has {len(messages)} entries, at most {_MAX_MESSAGES} are taken"
        raise InvalidRequestError(text, field="messages")
    for index, message in enumerate(messages):
        if message.role not in _SPEAKERS:
            text = 'message role must be one of "system", "user", or "assistant"'
            raise InvalidRequestError(text, field=f"messages[{index}].role")
        _check_text(f"messages[{index}].content", message.content)


def _check_parameters(parameters: Mapping[str, Value]) -> None:
    if len(parameters) > _MAX_PARAMETERS:
        text = f"parameters has {len(parameters)} entries, at most {_MAX_PARAMETERS} are taken"
        raise InvalidRequestError(text, field="parameters")
    for name, value in parameters.items():
        if not _PARAMETER_NAME.fullmatch(name):
            raise InvalidRequestError(f"{name!r:.80} is no name of a parameter", field="parameters")
        texts = value if isinstance(value, tuple) else (value,)
        if any(isinstance(each, float) and not math.isfinite(each) for each in texts):
            raise InvalidRequestError(f"parameter {name!r} is no finite number", field=f"parameters.{name}")
        is_long = any(len(text) > _MAX_PARAMETER_CHARACTERS for text in texts if isinstance(text, str))
        if is_long or len(texts) > _MAX_PARAMETER_TEXTS:
            text = (
                f"parameter {name!r} is too long: at most {_MAX_PARAMETER_TEXTS} values of "
                f"{_MAX_PARAMETER_CHARACTERS} characters are taken"
            )
            raise InvalidRequestError(text, field=f"parameters.{name}")
