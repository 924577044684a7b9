"""Memory of a cache reads as zero, and whole pages of it can be given back."""

import mmap

import pytest

from homeport import LoadError
from homeport.checkpoint import CacheMemory

PAGE = mmap.PAGESIZE


@pytest.mark.parametrize(
    ("begin", "end", "pages"),
    [(PAGE, 3 * PAGE, {1, 2}), (PAGE + 1, 4 * PAGE - 1, {2}), (1, PAGE - 1, set()), (PAGE, PAGE, set())],
)
def test_whole_pages_are_given_back_and_read_as_zero(begin, end, pages):
    """Bytes that share a page with others stay."""
    memory = CacheMemory(4 * PAGE, slots=1, length=1)
    assert not any(memory.buffer[:])
    memory.buffer[:] = b"x" * len(memory.buffer)

    memory.release(begin, end)

    assert {page for page in range(4) if not any(memory.buffer[page * PAGE : (page + 1) * PAGE])} == pages
    assert memory.buffer[:].count(b"x") == (4 - len(pages)) * PAGE


@pytest.mark.parametrize("size", [2**62, 2**70])
def test_memory_that_no_machine_has_is_a_load_error(size):
    """The message names size, slots and tokens, and the hint the settings to lower."""
    expected = rf"cache of {size} bytes \(8 slots of 4096 tokens\): .*context_length"
    with pytest.raises(LoadError, match=expected):
        CacheMemory(size, slots=8, length=4096)
