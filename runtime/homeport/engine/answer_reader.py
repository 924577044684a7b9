"""An answer told apart while it comes: thoughts, text without stop texts, and calls."""

from collections.abc import Iterable, Sequence

from homeport.domain.generation import AnswerDelta, TextDelta, ThoughtDelta
from homeport.engine.answer_form import AnswerForm
from homeport.engine.stop_texts import StopTexts
from homeport.engine.thought_reader import ThoughtReader


class AnswerReader:
    """Turns the text of an answer into pieces of it.

    Stop texts end what is said; thoughts and the arguments of calls may hold them.

    Args:
        form: What the answer may hold.
        stop: Texts that end it.

    Attributes:
        is_done: Whether nothing may follow.
    """

    def __init__(self, form: AnswerForm, stop: Sequence[str]) -> None:
        self.is_done = False
        self._stops = StopTexts(stop)
        self._thoughts = None
        if form.thoughts is not None and not form.is_begun:
            self._thoughts = ThoughtReader(form.thoughts, is_opened=form.is_opened)
        self._calls = None
        if form.offer is not None and form.tool_format is not None:
            self._calls = form.tool_format.reader(form.offer)
            if form.is_begun:
                self._calls.begin_later()

    @property
    def is_thinking(self) -> bool:
        """Whether what comes next is a thought."""
        return self._thoughts is not None and self._thoughts.is_thinking

    @property
    def stopped_by(self) -> str:
        """The stop text that was reached; empty where none was."""
        return self._stops.reached

    @property
    def held(self) -> int:
        """How many characters are held back."""
        readers = (self._thoughts, self._calls, self._stops)
        return sum(reader.held for reader in readers if reader is not None)

    @property
    def place(self) -> AnswerDelta:
        """An empty piece of what is being read."""
        if self._thoughts is not None and isinstance(thought := self._thoughts.place, ThoughtDelta):
            return thought
        return TextDelta("") if self._calls is None else self._calls.place

    def add(self, text: str) -> list[AnswerDelta]:
        """Take the next piece; give what became sure."""
        if self._thoughts is None:
            return self._said(text)
        thought, rest = self._thoughts.add(text)
        return [*_thought(thought), *self._said(rest)]

    def close(self) -> list[AnswerDelta]:
        """Give what was held back, when nothing ended the answer before."""
        thought, rest = ("", "") if self._thoughts is None else self._thoughts.close()
        deltas = [*_thought(thought), *self._said(rest)]
        if self._calls is not None and not self.is_done:
            deltas += self._stopped(self._calls.close())
        if not self.stopped_by:
            deltas += _text(self._stops.flush())
        return deltas

    def _said(self, text: str) -> list[AnswerDelta]:
        if self._calls is None:
            return self._stopped([TextDelta(text)] if text else [])
        deltas = self._stopped(self._calls.add(text))
        self.is_done = self.is_done or self._calls.is_done
        return deltas

    def _stopped(self, deltas: Iterable[AnswerDelta]) -> list[AnswerDelta]:
        """Leave out a stop text, and all behind it."""
        given: list[AnswerDelta] = []
        for delta in deltas:
            if not isinstance(delta, TextDelta):
                given += [*_text(self._stops.flush()), delta]
                continue
            text, self.is_done = self._stops.add(delta.text)
            given += _text(text)
            if self.is_done:
                break
        return given


def _text(text: str) -> list[AnswerDelta]:
    return [TextDelta(text)] if text else []


def _thought(text: str) -> list[AnswerDelta]:
    return [ThoughtDelta(text)] if text else []
