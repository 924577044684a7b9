from hypothesis import given
from hypothesis import strategies as st

from homeport.engine.shared_prefix import shared_length

TOKENS = st.lists(st.integers(0, 2), max_size=12)


@given(TOKENS, TOKENS)
def test_shared_length_counts_equal_tokens_from_the_beginning(first, second):
    """It is where a comparison token by token would stop."""
    unequal = (place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    assert shared_length(first, second) == next(unequal, min(len(first), len(second)))
