from hypothesis import given
from hypothesis import strategies as st

from homeport.engine.spelled_tokens import SpelledTokens

TOKENS = ["<a>", "<a><b>", "[X]", "  "]
SPELLED = SpelledTokens(TOKENS)


@given(st.text("<ab>[X] \ufdd0\ufdd1019", max_size=30).filter(lambda text: "\ufdd1" not in text))
def test_every_token_becomes_plain_text_and_the_rest_stays(text):
    """What was spelt out comes back as plain text, word for word; blanks are no tokens."""
    parts = list(SPELLED.parts(SPELLED.hide(text)))
    assert "".join(part for part, _ in parts) == text
    assert not any(token in part for part, is_plain in parts if not is_plain for token in TOKENS[:3])
    assert all(part in TOKENS for part, is_plain in parts if is_plain)


@given(st.text("\ufdd0\ufdd10123456789a", max_size=30))
def test_stand_ins_that_nobody_put_there_do_no_harm(text):
    """Any text can be split, one that was cut too."""
    list(SPELLED.parts(text))
    assert list(SpelledTokens([]).parts(text)) is not None


def test_a_stand_in_that_was_cut_is_left_out():
    """The end of a long text never begins with half a stand-in."""
    hidden = SPELLED.hide("x<a>y")
    cut = [list(SPELLED.parts(hidden[place:])) for place in range(1, 4)]
    assert cut[0] == [("", False), ("<a>", True), ("y", False)]
    assert cut[1] == cut[2] == [("y", False)]
