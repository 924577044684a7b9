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


@given(
    st.lists(st.text("ab", max_size=5), max_size=8),
    st.lists(st.text("ab", min_size=1, max_size=8), min_size=1, max_size=3),
)
def test_what_is_held_back_is_the_longest_beginning_of_a_stop_text(pieces, stops):
    """Neither more nor less than may still become a stop text waits."""
    matcher = StopTexts(stops)
    whole = sent = ""
    for piece in pieces:
        text, stopped = matcher.add(piece)
        whole, sent = whole + piece, sent + text
        if stopped:
            return
        beginnings = {stop[:length] for stop in stops for length in range(len(stop))}
        held = max((text for text in beginnings if whole.endswith(text)), key=len)
        assert sent + held == whole
