import pytest

from homeport.upstream.lines import Lines


def lines_of(*pieces, most_bytes=100):
    lines = Lines(most_bytes)
    for piece in pieces:
        lines.feed(piece)
    whole = []
    while (line := lines.take()) is not None:
        whole.append(line)
    return whole, lines.rest()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_are_the_same_wherever_they_are_split(end):
    """Pieces may be cut anywhere, also between the two bytes of a line end."""
    text = b"\xef\xbb\xbfone" + end + end + b"two" + end + b"thr"
    for place in range(len(text) + 1):
        assert lines_of(text[:place], text[place:]) == ([b"one", b"", b"two"], b"thr")
    assert lines_of(*(bytes([byte]) for byte in text)) == ([b"one", b"", b"two"], b"thr")


def test_line_that_is_too_long_is_refused():
    """A server cannot fill our memory with one line."""
    assert lines_of(b"x" * 100 + b"\n")[0] == [b"x" * 100]
    with pytest.raises(ValueError, match="longer than 100 bytes"):
        lines_of(b"x" * 60, b"x" * 60)
