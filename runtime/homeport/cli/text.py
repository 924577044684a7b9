"""Text on its way to a terminal: harmless, in columns, or as JSON."""

import json
import unicodedata
from collections.abc import Iterable, Sequence

import click

_GAP = "    "
_SHOWN_CONTROLS = frozenset("\n\t")
_REMOVED_CATEGORIES = frozenset({"Cc", "Cf", "Cs"})
_JOINERS = frozenset("\u200c\u200d")
"""Format characters that words and emoji need."""


def harmless(text: str) -> str:
    """Drop the characters that would steer a terminal: escapes, carriage returns, direction marks."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(character for character in text if _is_shown(character))


def harmless_line(text: str) -> str:
    """Make text from elsewhere fit for one line: nothing that steers, no line breaks, no tabs."""
    return " ".join(harmless(text).split())


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay rows out below a header as wide as their cells need, four blanks apart."""
    table = [tuple(header), *(tuple(harmless_line(cell) for cell in row) for row in rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(header))]
    lines = (_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def write_json(value: object) -> None:
    """Print a value for programs, indented."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def write_json_line(value: object) -> None:
    """Print a value for programs, on one line."""
    click.echo(json.dumps(value, ensure_ascii=False))


def _is_shown(character: str) -> bool:
    if character in _SHOWN_CONTROLS or character in _JOINERS:
        return True
    return unicodedata.category(character) not in _REMOVED_CATEGORIES
