"""An answer on its way to standard output."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from homeport.cli.text import harmless

if TYPE_CHECKING:
    from rich.status import Status


@contextmanager
def answer_output() -> Iterator["AnswerOutput"]:
    """Lend an output for one answer; a terminal shows that the model is at work until the first piece."""
    output = AnswerOutput(_start_spinner() if sys.stderr.isatty() else None)
    try:
        yield output
    finally:
        output.end()


class AnswerOutput:
    """Prints an answer piece by piece.

    Args:
        spinner: Turns until there is something to print.
    """

    def __init__(self, spinner: "Status | None" = None) -> None:
        self._spinner = spinner
        self._is_line_open = False

    def write(self, piece: str) -> None:
        """Print a piece at once, without what would steer a terminal."""
        self._stop_spinner()
        text = harmless(piece)
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()
            self._is_line_open = not text.endswith("\n")

    def end(self) -> None:
        """End the line that the last piece left open, so that what follows begins its own."""
        self._stop_spinner()
        if self._is_line_open:
            click.echo()
            self._is_line_open = False

    def _stop_spinner(self) -> None:
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None


def _start_spinner() -> "Status":
    from rich.status import Status  # noqa: PLC0415 - 60 ms, for terminals only

    from homeport.cli.terminal import make_console  # noqa: PLC0415

    spinner = Status("", console=make_console(stderr=True))
    spinner.start()
    return spinner
