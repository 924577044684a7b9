import pytest

from homeport.cli.text import columns, harmless, harmless_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("red\x1b[31m", "red[31m"),
        ("over\rwritten", "overwritten"),
        ("bell\x07 del\x7f c1\x9b", "bell del c1"),
        ("left\u202eright", "leftright"),
        ("line\n\ttab", "line\n\ttab"),
        ("naïve 日本 👩\u200d🚀", "naïve 日本 👩\u200d🚀"),
    ],
)
def test_text_from_elsewhere_cannot_steer_the_terminal(text, shown):
    """Escapes, control characters and direction marks vanish, words in any script stay."""
    assert harmless(text) == shown


def test_a_name_with_line_breaks_stays_on_its_line():
    """A hostile name cannot forge a row."""
    assert harmless_line("evil\nsmollm2:135m  abc") == "evil smollm2:135m abc"


def test_columns_are_as_wide_as_their_widest_cell():
    """Cells begin below their header, and no line ends in blanks."""
    assert columns(("NAME", "ID"), [("smollm2:135m", "ab"), ("x", "")]).splitlines() == [
        "NAME            ID",
        "smollm2:135m    ab",
        "x",
    ]
