from hypothesis import given
from hypothesis import strategies as st

from homeport.engine.detokenizer import Detokenizer


def bytes_to_text(ids):
    return bytes(ids).decode("utf-8", errors="replace")


@given(st.text())
def test_pieces_are_whole_characters_that_add_up(text):
    """Fed byte by byte, every piece is valid text and together they are the text."""
    detokenizer = Detokenizer(bytes_to_text)
    pieces = [detokenizer.add(byte) for byte in text.encode()]
    assert "".join(pieces) + detokenizer.flush() == text


@given(st.text(alphabet="aé€😀", min_size=1))
def test_no_piece_holds_half_a_character(text):
    """A character of several tokens appears with its last one."""
    detokenizer = Detokenizer(bytes_to_text)
    pieces = [detokenizer.add(byte) for byte in text.encode()]
    assert [piece for piece in pieces if piece] == list(text)


def test_bytes_that_never_became_a_character_come_at_the_end():
    """An answer cut inside a character ends in the replacement character."""
    detokenizer = Detokenizer(bytes_to_text)
    assert [detokenizer.add(byte) for byte in "é".encode()[:1]] == [""]
    assert detokenizer.flush() == "\ufffd"


def test_text_before_the_answer_is_not_repeated():
    """What the sequence continues only gives context."""
    detokenizer = Detokenizer(bytes_to_text, b"prom")
    assert detokenizer.add(ord("t")) == "t"
