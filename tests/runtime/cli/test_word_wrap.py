import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from homeport.cli.word_wrap import WordWrap

ERASED = re.compile(r"\x1b\[(\d+)D\x1b\[K")


def shown(pieces, cells):
    """Write pieces and play what a terminal makes of them: moves to the left, then erases."""
    wrap = WordWrap(cells)
    text = "".join(wrap.feed(piece) for piece in pieces)
    while found := ERASED.search(text):
        before, left = text[: found.start()], int(found[1])
        while left > 0:
            left -= cell_len(before[-1])
            before = before[:-1]
        text = before + text[found.end() :]
    return text


@pytest.mark.parametrize("step", [1, 2, 100])
def test_lines_break_between_words(step):
    """No line is longer than the width, however the text comes."""
    text = "one two three four"
    pieces = [text[start : start + step] for start in range(0, len(text), step)]
    assert shown(pieces, 9).replace(" \n", "\n") == "one two\nthree\nfour"


def test_line_ends_of_the_text_stay():
    """What the model breaks itself is broken there."""
    assert shown(["one\n\ntwo"], 5) == "one\n\ntwo"


def test_a_word_that_fills_its_line_is_left_to_the_terminal():
    """An address stays in one piece, so that it can be copied."""
    assert shown(["https://example.org/long is"], 10) == "https://example.org/long\nis"


def test_wide_characters_count_twice():
    """Text without blanks is broken anywhere."""
    assert shown(["漢字漢字漢"], 6) == "漢字漢\n字漢"


def test_tabs_count_as_far_as_they_reach():
    """A tab goes to the next multiple of eight."""
    assert shown(["a\tbc def"], 11).replace(" \n", "\n") == "a\tbc\ndef"


@settings(deadline=None)
@given(
    words=st.lists(st.text("abcde", min_size=1, max_size=7), min_size=1, max_size=30),
    cells=st.integers(8, 30),
    cuts=st.lists(st.integers(0, 200), max_size=10),
)
def test_no_word_is_lost_or_broken(words, cells, cuts):
    """All words stand there in order, on lines that fit."""
    text = " ".join(words)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    lines = shown([text[a:b] for a, b in pairwise(places)], cells).split("\n")
    assert all(len(line) <= cells for line in lines)
    assert " ".join(lines).split() == words
