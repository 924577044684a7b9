import gc

import pytest

from homeport.config.lasting import lasting


@pytest.fixture(autouse=True)
def thawed():
    """Leave the collector as other tests expect it."""
    yield
    gc.unfreeze()


def test_nothing_is_collected_while_it_is_made():
    """The collector rests in the block alone."""
    with lasting():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_made_is_left_alone():
    """Later collections do not look through it."""
    with lasting():
        kept = [[number] for number in range(10_000)]
    assert gc.get_freeze_count() >= len(kept)


def test_garbage_is_collected_again_after_a_failure():
    """A module that cannot be imported does not end the collecting."""
    with pytest.raises(ImportError), lasting():
        raise ImportError
    assert gc.isenabled()
