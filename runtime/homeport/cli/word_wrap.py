"""Breaking a stream of text into lines between words, as wide as a terminal is."""

from rich.cells import cell_len

_TAB_CELLS = 8
_WIDE_CELLS = 2


class WordWrap:
    """Breaks lines while they are written.

    A word is written as it comes, so that nothing waits for its end; where it grows over the edge, what
    stands of it is erased and written again on the next line.

    Args:
        cells: Width of a line.
    """

    def __init__(self, cells: int) -> None:
        self._cells = cells
        self._column = 0
        self._word = ""

    def feed(self, text: str) -> str:
        """Give a piece of the text with the breaks that it needs."""
        written: list[str] = []
        for character in text:
            self._feed(written, character)
        return "".join(written)

    def _feed(self, written: list[str], character: str) -> None:
        cells = _TAB_CELLS - self._column % _TAB_CELLS if character == "\t" else cell_len(character)
        is_over = self._column + cells > self._cells
        if character == "\n" or (is_over and character.isspace()):
            written.append("\n")
            self._column, self._word = 0, ""
            return
        if is_over:
            self._carry_over(written)
        written.append(character)
        self._column += cells
        # Scripts without blanks, whose characters are wide, may be broken anywhere.
        self._word = "" if character.isspace() or cells == _WIDE_CELLS else self._word + character

    def _carry_over(self, written: list[str]) -> None:
        """Move the word that is being written to the next line; one that fills its line stays."""
        cells = cell_len(self._word)
        if cells and cells >= self._column:
            return
        unseen = min(len(self._word), len(written))
        del written[len(written) - unseen :]
        seen = cell_len(self._word[: len(self._word) - unseen])
        written.append(f"\x1b[{seen}D\x1b[K\n" if seen else "\n")
        written.extend(self._word)
        self._column = cells
