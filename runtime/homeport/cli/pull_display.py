"""How a pull is shown: bars on a terminal, lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from homeport.cli import figures
from homeport.cli.answers import PullProgress
from homeport.cli.text import harmless_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Display = Callable[[PullProgress], None]

_LINE_EVERY_PERCENT = 10


@contextmanager
def progress_display() -> Iterator[Display]:
    """Lend a function that shows each step on standard error."""
    if sys.stderr.isatty():
        with _bars() as bars:
            yield bars
    else:
        yield LineDisplay(sys.stderr.write)


class LineDisplay:
    """Writes a line when the status changes, and one for every tenth of a file.

    Args:
        write: Takes the lines.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._status = ""
        self._percent = 0

    def __call__(self, progress: PullProgress) -> None:
        """Show a step."""
        if progress.status != self._status:
            self._status = progress.status
            self._percent = 0
            self._write(f"{harmless_line(progress.status)}\n")
        if not progress.total_bytes:
            return
        percent = 100 * progress.completed_bytes // progress.total_bytes
        if percent >= self._percent + _LINE_EVERY_PERCENT:
            self._percent = percent - percent % _LINE_EVERY_PERCENT
            self._write(f"  {percent}% of {figures.size(progress.total_bytes)}\n")


class _BarDisplay:
    """One bar per file, statuses without a file as lines above."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}
        self._status = ""

    def __call__(self, progress: PullProgress) -> None:
        if not progress.total_bytes:
            if progress.status != self._status:
                self._status = progress.status
                self._progress.console.print(harmless_line(progress.status), markup=False)
            return
        key = progress.digest or progress.status
        if key not in self._bars:
            self._bars[key] = self._progress.add_task(
                harmless_line(progress.status), total=progress.total_bytes
            )
        self._progress.update(self._bars[key], completed=progress.completed_bytes, total=progress.total_bytes)


@contextmanager
def _bars() -> Iterator[Display]:
    from rich.progress import (  # noqa: PLC0415 - 60 ms, for terminals only
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from homeport.cli.terminal import make_console  # noqa: PLC0415

    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=make_console(stderr=True),
    )
    with progress:
        yield _BarDisplay(progress)
