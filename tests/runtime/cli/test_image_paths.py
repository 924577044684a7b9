import pytest

from homeport.cli.image_paths import image_note


@pytest.fixture
def image(tmp_path):
    """A picture on disk."""
    path = tmp_path / "cat.PNG"
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize("text", ["what is {}?", '"{}"', "({}),", "first\n{}"])
def test_a_picture_is_found_among_words(image, text):
    """Whatever stands around its path."""
    note = image_note(text.format(image))
    assert note is not None
    assert str(image) in note


@pytest.mark.parametrize(
    "text", ["", "no picture", "dog.png", "~nobody-at-all/x.png", "a\0b.png", "x" * 5000 + ".png", ".png"]
)
def test_what_is_no_picture_is_passed_over(text):
    """Words that lead to no file say nothing, however odd they are."""
    assert image_note(text) is None


def test_a_long_text_is_looked_through_in_no_time():
    """A megabyte without blanks takes no square of its length."""
    assert image_note("x" * 1_000_000 + " " + "y." * 500_000) is None
