from hypothesis import given
from hypothesis import strategies as st

from homeport.engine.stop_texts import StopTexts


def feed(stops, pieces):
    matcher = StopTexts(stops)
    sent = ""
    for piece in pieces:
        text, stopped = matcher.add(piece)
        sent += text
        if stopped:
            return sent, True
    return sent + matcher.flush(), False


@given(
    st.lists(st.text("abc", max_size=3), max_size=12),
    st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_result_does_not_depend_on_how_the_text_is_split(pieces, stops):
    """Whatever the pieces, the text ends before the first stop text in it."""
    sent, stopped = feed(stops, pieces)
    whole = "".join(pieces)
    assert stopped == any(stop in whole for stop in stops)
    assert whole.startswith(sent)
    assert not any(stop in sent for stop in stops)
    if not stopped:
        assert sent == whole


def test_only_a_possible_beginning_is_held_back():
    """Text that cannot become a stop text is sent at once."""
    matcher = StopTexts(["STOP"])
    assert matcher.add("go ST") == ("go ", False)
    assert matcher.add("AY") == ("STAY", False)


def test_without_stop_texts_nothing_is_held():
    """Empty stop texts are no stop texts."""
    assert StopTexts([""]).add("anything") == ("anything", False)
