"""Thoughts told from what is said, while an answer comes."""

from enum import Enum, auto

from homeport.domain.generation import AnswerDelta, TextDelta, ThoughtDelta
from homeport.engine.stop_texts import beginning
from homeport.engine.thought_markers import ThoughtMarkers


class _State(Enum):
    BEFORE = auto()
    OPENED = auto()
    THOUGHT = auto()
    BEHIND = auto()
    TEXT = auto()


class ThoughtReader:
    """Splits an answer into the thought that it may begin with and the rest.

    The markers and the blanks around a thought are left out.

    Args:
        markers: Around thoughts.
        is_opened: Whether the prompt ends inside a thought.
    """

    def __init__(self, markers: ThoughtMarkers, *, is_opened: bool) -> None:
        self._markers = markers
        self._state = _State.OPENED if is_opened else _State.BEFORE
        self._held = ""
        self._is_empty = True

    @property
    def is_thinking(self) -> bool:
        """Whether what comes next is a thought."""
        return self._state in {_State.OPENED, _State.THOUGHT}

    @property
    def held(self) -> int:
        """How many characters are held back."""
        return len(self._held)

    @property
    def place(self) -> AnswerDelta:
        """An empty piece of what is being read."""
        return TextDelta("") if self._state in {_State.BEFORE, _State.TEXT} else ThoughtDelta("")

    def add(self, text: str) -> tuple[str, str]:
        """Take the next piece; give what is sure of the thought, and of the rest."""
        self._held += text
        if self._state in {_State.BEFORE, _State.OPENED}:
            self._read_beginning()
        thought = self._read_thought() if self._state is _State.THOUGHT else ""
        if self._state is _State.BEHIND:
            self._held = self._held.lstrip()
            self._state = _State.TEXT if self._held else _State.BEHIND
        rest = ""
        if self._state is _State.TEXT:
            rest, self._held = self._held, ""
        return thought, rest

    def close(self) -> tuple[str, str]:
        """Give what was held back, at the end."""
        held, self._held = self._held, ""
        return (held.rstrip(), "") if self.is_thinking else ("", held)

    def _read_beginning(self) -> None:
        """Decide whether the answer begins with a thought; blanks alone decide nothing."""
        said = self._held.lstrip()
        begin = self._markers.begin
        if said.startswith(begin):
            self._held = said.removeprefix(begin)
        elif begin.startswith(said):
            return
        elif self._state is _State.BEFORE:
            self._state = _State.TEXT
            return
        self._state = _State.THOUGHT

    def _read_thought(self) -> str:
        end = self._markers.end
        if self._is_empty:
            self._held = self._held.lstrip()
        thought, found, rest = self._held.partition(end)
        if found:
            self._held = rest
            self._state = _State.BEHIND
            return thought.rstrip()
        sure = len(self._held[: beginning(end, self._held)].rstrip())
        thought, self._held = self._held[:sure], self._held[sure:]
        self._is_empty = self._is_empty and not thought
        return thought
