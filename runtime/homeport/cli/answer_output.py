"""An answer on its way to standard output."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
import click

from homeport.cli.text import harmless

if TYPE_CHECKING:
    from rich.status import Status

    from homeport.cli.word_wrap import WordWrap

_THOUGHTS_BEGIN = "Thinking...\n"
_THOUGHTS_END = "...done thinking.\n\n"
"""What Ollama writes around thoughts."""
_GREY = "bright_black"
_MARGIN_CELLS = 5
_LEAST_CELLS = 10
"""Narrower terminals wrap by themselves."""


@attrs.frozen(kw_only=True)
class Look:
    """How answers are shown.

    Attributes:
        wraps: Whether lines are broken between words, where a terminal shows them.
        hides_thoughts: Whether only the answer itself is shown.
    """

    wraps: bool = True
    hides_thoughts: bool = False


@contextmanager
def answer_output(look: Look) -> Iterator["AnswerOutput"]:
    """Lend an output for one answer; a terminal shows that the model is at work until the first piece."""
    wrap = _word_wrap() if look.wraps else None
    output = AnswerOutput(
        _start_spinner() if sys.stderr.isatty() else None, wrap=wrap, hides_thoughts=look.hides_thoughts
    )
    try:
        yield output
    finally:
        output.end()


class AnswerOutput:
    """Prints an answer piece by piece.

    Args:
        spinner: Turns until there is something to print.
        wrap: Breaks lines; None leaves that to the terminal.
        hides_thoughts: Whether only the answer itself is printed.
    """

    def __init__(
        self, spinner: "Status | None" = None, *, wrap: "WordWrap | None" = None, hides_thoughts: bool = False
    ) -> None:
        self._spinner = spinner
        self._wrap = wrap
        self._hides_thoughts = hides_thoughts
        self._is_line_open = False
        self._is_thinking = False

    def write(self, piece: str) -> None:
        """Print a piece at once, without what would steer a terminal."""
        self._end_thoughts()
        self._print(piece)

    def think(self, piece: str) -> None:
        """Print a piece of what the model thinks before it answers, in grey."""
        if self._hides_thoughts:
            return
        if not self._is_thinking:
            self._print(_THOUGHTS_BEGIN, is_thought=True, bold=True)
            self._is_thinking = True
        self._print(piece, is_thought=True)

    def end(self) -> None:
        """End the line that the last piece left open, so that what follows begins its own."""
        self._end_thoughts()
        self._stop_spinner()
        self._end_line()

    def _end_thoughts(self) -> None:
        if self._is_thinking:
            self._is_thinking = False
            self._end_line()
            self._print(_THOUGHTS_END, is_thought=True, bold=True)

    def _end_line(self) -> None:
        if self._is_line_open:
            self._print("\n")

    def _print(self, piece: str, *, is_thought: bool = False, bold: bool = False) -> None:
        self._stop_spinner()
        text = harmless(piece)
        if not text:
            return
        self._is_line_open = not text.endswith("\n")
        if self._wrap is not None:
            text = self._wrap.feed(text)
        if is_thought and _is_coloured():
            text = click.style(text, fg=_GREY, bold=bold or None)
        click.echo(text, nl=False)

    def _stop_spinner(self) -> None:
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None


def _is_coloured() -> bool:
    from homeport.cli.terminal import is_colourless  # noqa: PLC0415

    return _draws() and not is_colourless()


def _draws() -> bool:
    """Whether standard output is a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _word_wrap() -> "WordWrap | None":
    cells = shutil.get_terminal_size().columns
    if not _draws() or cells < _LEAST_CELLS:
        return None
    from homeport.cli.word_wrap import WordWrap  # noqa: PLC0415 - 10 ms, for terminals only

    return WordWrap(cells - _MARGIN_CELLS)


def _start_spinner() -> "Status":
    from rich.status import Status  # noqa: PLC0415 - 60 ms, for terminals only

    from homeport.cli.terminal import make_console  # noqa: PLC0415

    spinner = Status("", console=make_console(stderr=True))
    spinner.start()
    return spinner
