"""Rows of figures as text: for a terminal, and as Markdown."""

from collections.abc import Iterable, Mapping, Sequence

Row = Mapping[str, object]


def shown(value: object) -> str:
    """Write one cell: a spread as its median and range, a missing value as a dash."""
    match value:
        case None:
            return "-"
        case {"median": median, "low": low, "high": high}:
            return f"{number(median)} ({number(low)}-{number(high)})"
        case bool():
            return "yes" if value else "no"
        case float() | int():
            return number(value)
        case list() | tuple():
            return ", ".join(shown(entry) for entry in value)
        case _:
            return str(value)


def number(value: object) -> str:
    """Write a number with about three digits and thousands set apart."""
    if not isinstance(value, float):
        return str(value)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def columns(rows: Iterable[Row]) -> list[str]:
    """List the keys of all rows in the order in which they appear."""
    return list(dict.fromkeys(key for row in rows for key in row))


def text_table(rows: Sequence[Row]) -> str:
    """Align rows under their keys."""
    names = columns(rows)
    cells = [names, *([shown(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def markdown_table(rows: Sequence[Row], headings: Mapping[str, str]) -> str:
    """Write the keys that ``headings`` names as a table, in its order."""
    lines = [[*headings.values()], ["---"] * len(headings)]
    lines += [[shown(row.get(key)) for key in headings] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
