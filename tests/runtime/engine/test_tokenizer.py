import pytest


@pytest.mark.parametrize(("characters", "most", "exceeds"), [(0, 1, False), (8, 8, False), (10**6, 8, True)])
def test_long_texts_are_known_without_reading_them(tokenizer, characters, most, exceeds):
    """A text of known words has at least as many ids as its longest tokens come to."""
    assert tokenizer.is_too_long(characters, most) is exceeds


def test_a_text_that_may_fit_is_not_refused(tokenizer):
    """The bound is the longest token's, whichever tokens a text really has."""
    assert not tokenizer.is_too_long(8 * tokenizer.longest_token, 8)
    assert tokenizer.is_too_long(8 * tokenizer.longest_token + 1, 8)
