import pytest

from homeport import LoadPlan, TokenBatch, TokenRow
from homeport.engine.block_trie import BLOCK_TOKENS
from homeport.engine.prefix_cache import Place, PrefixCache
from homeport.testing.tiny_model import ChecksumModel

SYSTEM = list(range(100, 100 + 2 * BLOCK_TOKENS))


class Watched(ChecksumModel):
    """Tells what its cache was asked to do."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def copy_prefix(self, source, target, length):
        self.calls.append(("copy", source, target, length))
        super().copy_prefix(source, target, length)

    def release(self, slot, length):
        self.calls.append(("release", slot, length))
        super().release(slot, length)


@pytest.fixture
def model(tiny_folder):
    """A model that tells what is done to its four slots."""
    model = Watched()
    model.load(tiny_folder, LoadPlan(context_length=512, slots=4, threads=1))
    return model


@pytest.fixture
def make_cache(model):
    """Build a cache of the model's slots."""

    def make(capacity=2048, *, slots=4, remembers=True):
        return PrefixCache(model, slots=slots, capacity=capacity, remembers=remembers)

    return make


@pytest.fixture
def run(model):
    """Admit tokens, compute them as the engine would, and give the place."""

    def run(cache, tokens, owner="", *, stays=False):
        place = cache.admit(owner, tokens, reserve=1)
        rest = tokens[place.length :]
        model.forward(TokenBatch((TokenRow(place.slot, place.length, rest, 1),)))
        cache.note(place.slot, len(tokens))
        if not stays:
            cache.park(place.slot, len(tokens))
        return place

    return run


def test_conversation_goes_on_in_the_slot_it_left(make_cache, run, model):
    """A prompt that continues a parked sequence moves in without a copy."""
    cache = make_cache()
    assert run(cache, SYSTEM) == Place(0, 0)
    assert run(cache, [*SYSTEM, 1, 2, 3]) == Place(0, len(SYSTEM))
    assert model.calls == []


def test_prompts_that_share_a_beginning_copy_it(make_cache, run, model):
    """What would lose a longer sequence is copied, up to the token that differs."""
    cache = make_cache()
    run(cache, [*SYSTEM, *range(2 * BLOCK_TOKENS)])
    assert run(cache, [*SYSTEM, 0, 1, 9, 9]) == Place(1, len(SYSTEM) + 2)
    assert model.calls == [("copy", 0, 1, len(SYSTEM) + 2)]


def test_running_sequence_lends_what_it_has_computed(make_cache, model):
    """Others copy from a slot that runs, and no more than it holds."""
    cache = make_cache()
    place = cache.admit("", SYSTEM, reserve=0)
    assert cache.admit("", SYSTEM, reserve=0) == Place(1, 0)
    cache.note(place.slot, BLOCK_TOKENS)
    assert cache.admit("", SYSTEM, reserve=0) == Place(2, BLOCK_TOKENS)
    assert model.calls == [("copy", 0, 2, BLOCK_TOKENS)]


def test_last_token_is_always_left_to_compute(make_cache, run):
    """A prompt that is known as a whole still needs the logits behind its last token."""
    cache = make_cache()
    run(cache, SYSTEM)
    assert run(cache, SYSTEM) == Place(0, len(SYSTEM) - 1)


def test_owners_never_share(make_cache, run):
    """Equal prompts of different owners are computed apart, also in a slot that the other left."""
    cache = make_cache(slots=1)
    assert run(cache, SYSTEM, "a") == Place(0, 0)
    assert run(cache, SYSTEM, "b") == Place(0, 0)
    assert run(cache, SYSTEM, "a") == Place(0, 0)


def test_memory_stays_within_its_bound_and_the_oldest_goes_first(make_cache, run, model):
    """What is remembered is trimmed from its end, least recently used first, and given back."""
    cache = make_cache(capacity=20 * BLOCK_TOKENS)
    old, young = list(range(9 * BLOCK_TOKENS)), list(range(1, 1 + 9 * BLOCK_TOKENS))
    run(cache, old)
    run(cache, young)
    run(cache, old[: 4 * BLOCK_TOKENS])  # used again, so it is the youngest
    assert model.calls[0] == ("release", 1, BLOCK_TOKENS)
    assert cache.used <= 20 * BLOCK_TOKENS
    assert run(cache, young).length == BLOCK_TOKENS
    run(cache, [7] * 19 * BLOCK_TOKENS, stays=True)
    assert cache.used <= 20 * BLOCK_TOKENS
    assert ("release", 0, 0) in model.calls


def test_sequence_waits_while_running_ones_hold_all_memory(make_cache, run):
    """Nothing is forgotten for a sequence that cannot be admitted anyway; alone it always is."""
    cache = make_cache(capacity=8 * BLOCK_TOKENS)
    run(cache, SYSTEM)
    run(cache, [5] * 5 * BLOCK_TOKENS, stays=True)
    assert cache.admit("", [6] * 3 * BLOCK_TOKENS, reserve=0) is None
    assert cache.admit("", [*SYSTEM, 1], reserve=0) is None
    cache.park(1, 5 * BLOCK_TOKENS)
    assert cache.admit("", [*SYSTEM, 1], reserve=0) == Place(0, len(SYSTEM))


def test_sequence_alone_is_admitted_and_grows_whatever_the_bound(make_cache):
    """A bound that shrank under pressure stops nobody who is alone."""
    cache = make_cache()
    cache.limit(0)
    place = cache.admit("", SYSTEM, reserve=0)
    assert cache.used == len(SYSTEM)
    assert cache.admit("", [1], reserve=0) is None
    assert cache.grow(place.slot, 10 * BLOCK_TOKENS)
    assert cache.admit("", [1], reserve=0) is None


def test_only_source_is_taken_over_when_no_slot_is_left_to_copy_to(make_cache, run, model):
    """With one slot, what is shared stays and the rest is lost."""
    cache = make_cache(slots=1)
    run(cache, [*SYSTEM, *range(3 * BLOCK_TOKENS)])
    assert run(cache, [*SYSTEM, 9, 9]) == Place(0, len(SYSTEM))
    assert cache.used == 3 * BLOCK_TOKENS
    assert model.calls == [("release", 0, len(SYSTEM))]


def test_nothing_is_remembered_where_that_is_off(make_cache, run):
    """Slots are given back whole."""
    cache = make_cache(remembers=False)
    run(cache, SYSTEM)
    assert cache.used == 0
    assert run(cache, SYSTEM) == Place(0, 0)


def test_smaller_bound_takes_effect_at_once(make_cache, run):
    """What is remembered beyond it is forgotten."""
    cache = make_cache()
    run(cache, list(range(10 * BLOCK_TOKENS)))
    cache.limit(BLOCK_TOKENS)
    assert cache.used <= BLOCK_TOKENS
    cache.limit(-5)
    assert cache.used == 0


def test_backend_that_cannot_copy_or_release_costs_time_only(make_cache, run, model):
    """A failing copy computes everything, a failing release goes on."""

    def fail(*_):
        raise OSError("no")

    cache = make_cache()
    run(cache, [*SYSTEM, *range(BLOCK_TOKENS)])
    model.copy_prefix = model.release = fail
    assert run(cache, [*SYSTEM, 9, 9]) == Place(1, 0)
    cache.limit(0)
    assert cache.used == 0
