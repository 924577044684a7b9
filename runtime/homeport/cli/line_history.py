"""What was typed at the prompt before, for the arrow keys of this talk and of later ones."""

import os
from contextlib import suppress
from pathlib import Path

from homeport.config.ollama_variables import unquoted

HISTORY_FILE = "history"
_STATE_FOLDER = "state"
_NO_HISTORY_VARIABLE = "OLLAMA_NOHISTORY"
_FALSE_WORDS = frozenset({"", "0", "f", "false"})
_KEPT_LINES = 1000
_MAX_FILE_BYTES = 4 * 1024**2


class LineHistory:
    """Lines as ``readline`` recalls them, each also appended to a file as soon as it is typed.

    Where Python has no ``readline``, nothing is recalled; where the file cannot be read or written, lines
    are recalled within this talk only.

    Args:
        path: The file, one line per entry; made with its folder where it is missing.
        is_kept: Whether lines are remembered.
    """

    def __init__(self, path: Path, *, is_kept: bool = True) -> None:
        self._path = path
        self.is_kept = is_kept

    def open(self) -> None:
        """Let the prompt have editing, and the lines of earlier talks."""
        try:
            import readline  # noqa: PLC0415 - gives input() its editing
        except ImportError:
            return
        readline.set_auto_history(False)
        for line in self._earlier():
            readline.add_history(line)

    def add(self, line: str) -> None:
        """Remember a line."""
        if not self.is_kept or not line.strip():
            return
        with suppress(ImportError):
            import readline  # noqa: PLC0415

            readline.add_history(line)
        with suppress(OSError):
            self._append(" ".join(line.splitlines()))

    def _append(self, line: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(descriptor, "ab") as file:  # noqa: PTH123 - a descriptor, so that others cannot read it
            file.write(f"{line}\n".encode(errors="replace"))

    def _earlier(self) -> list[str]:
        """Read the newest lines, and shorten a file that has grown long."""
        if not self.is_kept:
            return []
        try:
            if self._path.stat().st_size > _MAX_FILE_BYTES:
                self._path.unlink()
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        kept = lines[-_KEPT_LINES:]
        if len(lines) > 2 * _KEPT_LINES:
            with suppress(OSError):
                self._shorten(kept)
        return kept

    def _shorten(self, lines: list[str]) -> None:
        short = self._path.with_suffix(f".{os.getpid()}")
        short.touch(mode=0o600)
        short.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        short.replace(self._path)


def history_of(home: Path) -> LineHistory:
    """Give the history of a homeport; ``OLLAMA_NOHISTORY`` lets it remember nothing."""
    is_kept = unquoted(os.environ, _NO_HISTORY_VARIABLE).lower() in _FALSE_WORDS
    return LineHistory(home / _STATE_FOLDER / HISTORY_FILE, is_kept=is_kept)
