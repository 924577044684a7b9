import pytest

from homeport.engine.block_trie import BLOCK_TOKENS, BlockTrie

TEXT = list(range(5 * BLOCK_TOKENS))


@pytest.fixture
def trie():
    """A trie in which slot 0 holds all of the text and slot 1 two blocks of it, then others."""
    trie = BlockTrie()
    trie.extend(0, "a", TEXT, len(TEXT))
    trie.extend(1, "a", [*TEXT[: 2 * BLOCK_TOKENS], *reversed(TEXT)], 4 * BLOCK_TOKENS)
    return trie


def test_longest_shared_beginning_is_found_in_whole_blocks(trie):
    """Slots that share most come back with how much that is, rounded down to blocks."""
    assert trie.find("a", TEXT) == ({0}, 5 * BLOCK_TOKENS)
    assert trie.find("a", TEXT[: 3 * BLOCK_TOKENS - 1]) == ({0, 1}, 2 * BLOCK_TOKENS)
    assert trie.find("a", [7, *TEXT]) == (set(), 0)
    assert trie.find("a", []) == (set(), 0)


def test_owners_never_find_each_others_tokens(trie):
    """Equal tokens of another owner are not there."""
    assert trie.find("b", TEXT) == (set(), 0)
    trie.extend(2, "b", TEXT, BLOCK_TOKENS)
    assert trie.find("b", TEXT) == ({2}, BLOCK_TOKENS)
    assert 2 not in trie.find("a", TEXT[:BLOCK_TOKENS])[0]


def test_slot_that_grows_is_found_by_what_it_gained():
    """Tokens are noted as they are computed, an unfinished block not before it is whole."""
    trie = BlockTrie()
    for length in range(0, 3 * BLOCK_TOKENS, 5):
        trie.extend(0, "a", TEXT, length)
        assert trie.find("a", TEXT)[1] == length // BLOCK_TOKENS * BLOCK_TOKENS


def test_cut_slot_is_found_only_by_what_stays(trie):
    """The end of a slot is forgotten, that of others with it shared is not."""
    trie.cut(0, 3 * BLOCK_TOKENS - 1)
    assert trie.find("a", TEXT) == ({0, 1}, 2 * BLOCK_TOKENS)
    trie.cut(0, 0)
    assert trie.find("a", TEXT) == ({1}, 2 * BLOCK_TOKENS)


def test_nothing_is_kept_of_slots_that_are_gone(trie):
    """A trie whose slots all left is as empty as a new one."""
    assert len(trie) == 5 + 2
    trie.cut(0, 0)
    trie.cut(1, 0)
    trie.cut(9, 0)
    assert len(trie) == 0
