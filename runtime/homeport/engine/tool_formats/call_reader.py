"""Calls found in the text of an answer, while it comes."""

import secrets
import string
from enum import Enum, auto
from typing import TYPE_CHECKING

import attrs

from homeport.domain.generation import AnswerDelta, TextDelta, ToolCallDelta
from homeport.domain.tools import ToolOffer
from homeport.engine.deltas import joined
from homeport.engine.stop_texts import beginning
from homeport.engine.tool_formats.call_object import CallObject
from homeport.engine.tool_formats.json_value import WHITESPACE, BrokenJsonError

if TYPE_CHECKING:
    from collections.abc import Callable

_ID_CHARACTERS = string.ascii_lowercase + string.digits
_ID_LENGTH = 8
_MOST_NAME = 256
"""Characters of the name of a tool where it is not written in JSON."""


@attrs.frozen(kw_only=True)
class CallSigns:
    """How a model writes calls into its answer.

    Attributes:
        begin: Stands before one call or a list of them; empty where nothing does.
        end: Stands behind them; empty where nothing does.
        is_bare: Whether an answer may begin with calls, without ``begin``.
        separators: May stand between calls beside blanks.
        before_arguments: Stands between the name of a tool and its arguments where a call is no object;
            empty where it always is one.
        before_id: Begins an id behind such a name.
        hidden: Those of these texts that are special tokens, which never belong to a text.
    """

    begin: str = ""
    end: str = ""
    is_bare: bool = False
    separators: str = ""
    before_arguments: str = ""
    before_id: str = ""
    hidden: frozenset[str] = frozenset()


class _State(Enum):
    TEXT = auto()
    BETWEEN = auto()
    BLOCK = auto()
    NAME = auto()
    CALL = auto()
    ITEM = auto()
    NEXT_ITEM = auto()
    END = auto()


_BEHIND_CALLS = frozenset({_State.BETWEEN, _State.END})


class CallReader:
    """Splits an answer into text and calls.

    What looks like a call and is none, by its form or by the name of its tool, is text. Once the name and
    the first character of the arguments are known a call is told of, and its arguments follow as they come;
    what breaks then is text from there on. Blanks beside calls are left out.

    Args:
        signs: Of the model.
        offer: What may be called.

    Attributes:
        is_done: Whether nothing may follow: the one call that is allowed is over.
    """

    def __init__(self, signs: CallSigns, offer: ToolOffer) -> None:
        self.is_done = False
        self._signs = signs
        self._names = frozenset({offer.name} if offer.name else {tool.name for tool in offer.tools})
        self._is_single = not offer.parallel
        self._state = _State.BETWEEN if signs.is_bare else _State.TEXT
        self._held = ""
        self._call = CallObject()
        self._calls = 0
        self._is_told = False
        self._is_list = False
        self._name = ""
        self._deltas: list[AnswerDelta] = []
        self._takes: dict[_State, Callable[[str], None]] = {
            _State.BETWEEN: self._take_between,
            _State.BLOCK: self._take_block,
            _State.NAME: self._take_name,
            _State.CALL: self._take_call,
            _State.ITEM: self._take_item,
            _State.NEXT_ITEM: self._take_next_item,
            _State.END: self._take_end,
        }

    @property
    def held(self) -> int:
        """How many characters are held back, since what they are is not decided."""
        return len(self._held)

    @property
    def _is_text(self) -> bool:
        return self._state is _State.TEXT

    @property
    def place(self) -> AnswerDelta:
        """An empty piece of what is being read."""
        if self._calls and not self._is_text:
            return ToolCallDelta(index=self._calls - 1)
        return TextDelta("")

    def begin_later(self) -> None:
        """Take note that the answer has begun already, so that no call can begin it."""
        self._state = _State.TEXT

    def add(self, text: str) -> list[AnswerDelta]:
        """Take the next piece; give what became sure."""
        place = 0
        while place < len(text) and not self.is_done:
            if self._is_text:
                place += self._take_text(text[place:])
                continue
            try:
                self._takes[self._state](text[place])
            except BrokenJsonError:
                self._give_up()
            place += not self._is_text
        return self._given()

    def close(self) -> list[AnswerDelta]:
        """Give what was held back, at the end."""
        if self._calls and self._state in _BEHIND_CALLS:
            self._held = ""
        self._give_up()
        return self._given()

    def _given(self) -> list[AnswerDelta]:
        deltas, self._deltas = self._deltas, []
        return joined(deltas)

    def _tell_text(self, text: str) -> None:
        if text:
            self._deltas.append(TextDelta(text))

    def _give_up(self) -> None:
        """Let what is held be text: it is no call."""
        held = self._held
        if self._calls and self._state in _BEHIND_CALLS:
            held = held.lstrip()
        for sign in self._signs.hidden:
            held = held.replace(sign, "")
        self._held = ""
        self._tell_text(held)
        self._state = _State.TEXT

    def _take_text(self, text: str) -> int:
        """Look for the beginning of calls; give how many characters were taken."""
        before = len(self._held)
        text = self._held + text
        begin = self._signs.begin
        place = text.find(begin) if begin else -1
        if place < 0:
            sure = beginning(begin, text) if begin else len(text)
            sure = len(text[:sure].rstrip())
            self._tell_text(text[:sure])
            self._held = text[sure:]
            return len(text) - before
        sure = len(text[:place].rstrip())
        self._tell_text(text[:sure])
        self._held = text[sure : place + len(begin)]
        self._state = _State.BLOCK
        return place + len(begin) - before

    def _take_between(self, char: str) -> None:
        """Take a character behind calls, or before the first where nothing marks them."""
        if char in WHITESPACE or (self._calls and char in self._signs.separators):
            self._held += char
        elif self._signs.is_bare and char in "{[":
            self._take_block(char)
        else:
            self._give_up()

    def _take_block(self, char: str) -> None:
        """Take the first character of calls."""
        if char == "[":
            self._is_list = True
            self._state = _State.ITEM
        elif char == "{":
            self._is_list = False
            self._begin_call(CallObject())
            self._take_call(char)
            return
        elif char not in WHITESPACE:
            if not self._signs.before_arguments:
                raise BrokenJsonError(char)
            self._is_list = False
            self._name = ""
            self._state = _State.NAME
            self._take_name(char)
            return
        self._held += char

    def _take_name(self, char: str) -> None:
        """Take a character of a name that stands before the arguments."""
        self._name += char
        if len(self._name) > _MOST_NAME or char in "\r\n":
            raise BrokenJsonError(char)
        if not self._name.endswith(self._signs.before_arguments):
            self._held += char
            return
        name = self._name.removesuffix(self._signs.before_arguments)
        if self._signs.before_id:
            name = name.partition(self._signs.before_id)[0]
        if name.strip() not in self._names:
            raise BrokenJsonError(name)
        self._held += char
        self._begin_call(CallObject(name.strip()))

    def _begin_call(self, call: CallObject) -> None:
        self._call = call
        self._is_told = False
        self._state = _State.CALL

    def _take_call(self, char: str) -> None:
        piece = self._call.take(char)
        if self._call.name and self._call.name not in self._names:
            raise BrokenJsonError(self._call.name)
        if not self._call.is_begun:
            self._held += char
            return
        self._tell_call(piece)
        if self._call.is_done:
            self.is_done = self._is_single
            self._state = _State.NEXT_ITEM if self._is_list else self._behind_calls()

    def _tell_call(self, piece: str) -> None:
        self._held = ""
        if not self._is_told:
            self._is_told = True
            self._deltas.append(
                ToolCallDelta(index=self._calls, id=_fresh_id(), name=self._call.name, arguments=piece)
            )
            self._calls += 1
        elif piece:
            self._deltas.append(ToolCallDelta(index=self._calls - 1, arguments=piece))

    def _take_item(self, char: str) -> None:
        if char == "{":
            self._begin_call(CallObject())
            self._take_call(char)
            return
        if char not in WHITESPACE:
            raise BrokenJsonError(char)
        self._held += char

    def _take_next_item(self, char: str) -> None:
        if char == ",":
            self._state = _State.ITEM
        elif char == "]":
            self._held = ""
            self._state = self._behind_calls()
            return
        elif char not in WHITESPACE:
            raise BrokenJsonError(char)
        self._held += char

    def _behind_calls(self) -> _State:
        return _State.END if self._signs.end else _State.BETWEEN

    def _take_end(self, char: str) -> None:
        """Look for the end of calls; brackets too many before it are overlooked."""
        found = (self._held + char).lstrip(WHITESPACE + "]}")
        if not self._signs.end.startswith(found):
            raise BrokenJsonError(char)
        self._held += char
        if found == self._signs.end:
            self._held = ""
            self._state = _State.BETWEEN


def _fresh_id() -> str:
    return "call_" + "".join(secrets.choice(_ID_CHARACTERS) for _ in range(_ID_LENGTH))
