"""One value of a configuration file."""

import attrs


class GrammarError(ValueError):
    """A file cannot be read as what its name says; says where."""


@attrs.frozen(kw_only=True)
class Scalar:
    """A text that a file holds as a value.

    Attributes:
        path: Keys and places that lead to it, from the outside in.
        start: Its first character in the file, quotes and all.
        end: Behind its last one.
        value: What it means.
    """

    path: tuple[str, ...]
    start: int
    end: int
    value: str
