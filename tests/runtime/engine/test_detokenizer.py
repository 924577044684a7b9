import pytest
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


@given(st.binary(max_size=60))
def test_bytes_that_are_no_text_add_up_too(data):
    """Whatever a model makes up, the pieces are what decoding all of it at once gives."""
    detokenizer = Detokenizer(bytes_to_text)
    pieces = [detokenizer.add(byte) for byte in data]
    assert "".join(pieces) + detokenizer.flush() == bytes_to_text(data)


@given(st.text(alphabet="aé€😀", min_size=1), st.lists(st.integers(1, 5), min_size=1))
def test_characters_that_begin_and_end_inside_tokens_add_up(text, sizes):
    """A token may end one character and begin the next, for any number of tokens."""
    data, tokens = text.encode(), []
    while data:
        size = sizes[len(tokens) % len(sizes)]
        tokens.append(data[:size])
        data = data[size:]
    detokenizer = Detokenizer(lambda ids: b"".join(tokens[place] for place in ids).decode(errors="replace"))
    pieces = [detokenizer.add(place) for place in range(len(tokens))]
    assert "".join(pieces) + detokenizer.flush() == text
    assert "\ufffd" not in "".join(pieces)


@pytest.mark.parametrize("token", [0x80, 0xE2, 256])
def test_tokens_without_text_cost_no_more_the_more_there_are(token):
    """Neither stray bytes nor special tokens are decoded again and again."""
    decoded = []

    def decode(ids):
        decoded.append(len(ids))
        return bytes_to_text([byte for byte in ids if byte < 256])

    detokenizer = Detokenizer(decode, b"before")
    pieces = [detokenizer.add(token) for _ in range(500)]
    assert max(decoded) <= 32
    assert "".join(pieces) + detokenizer.flush() == ("" if token == 256 else "\ufffd" * 500)
