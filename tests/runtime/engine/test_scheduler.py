import itertools

import pytest

from homeport import FinishReason, GenerationRequest, LoadPlan, Priority, Sampling, TokenPrompt
from homeport.engine.block_trie import BLOCK_TOKENS
from homeport.engine.prefix_cache import PrefixCache
from homeport.engine.prompt_budget import LARGEST_CHUNK
from homeport.engine.scheduler import MOST_FOLLOWERS, WORTH_WAITING_TOKENS, Scheduler
from homeport.engine.sequence import Sequence
from homeport.engine.waiting_list import AGEING_SECONDS
from homeport.testing.tiny_model import ChecksumModel

WINDOW = 100_000


class House:
    """A scheduler, a clock that is set by hand, and a machine that takes no time but says it did."""

    step_seconds = 0.01
    token_seconds = 0.0

    def __init__(self, tokenizer, folder, *, running=2, slots=8, capacity=WINDOW, remembers=True):
        model = ChecksumModel()
        model.load(folder, LoadPlan(context_length=WINDOW, slots=slots, threads=1))
        self.model = model
        self.now = 0.0
        self.cache = PrefixCache(model, slots=slots, capacity=capacity, remembers=remembers)
        self.scheduler = Scheduler(
            self.cache, most_running=running, most_stall_seconds=0.25, clock=lambda: self.now
        )
        self._tokenizer = tokenizer
        self._names = itertools.count()

    def add(self, length=4, *, priority=Priority.NORMAL, owner="", start=None):
        """Queue a prompt; each begins with a token of its own unless told otherwise."""
        number = next(self._names)
        first = number if start is None else start
        request = GenerationRequest(
            id=str(number),
            model="",
            prompt=TokenPrompt(()),
            priority=priority,
            owner=owner,
            sampling=Sampling(),
        )
        sequence = Sequence(
            request=request,
            prompt=[first % 256] + [first // 256] * (length - 1),
            window=WINDOW,
            tokenizer=self._tokenizer,
            arrived_at=self.now,
        )
        self.scheduler.add(sequence)
        return sequence

    def step(self):
        """Compute the next step: who took part, and with how many tokens."""
        step = self.scheduler.schedule()
        seconds = self.step_seconds + self.token_seconds * step.prompt_tokens
        self.model.forward(step.batch)
        self.scheduler.settle(step, seconds)
        taken = {}
        for sequence, row in zip(step.sequences, step.batch.rows, strict=True):
            assert (sequence.slot, sequence.computed) == (row.slot, row.start)
            taken[sequence] = len(row.tokens)
            sequence.advance(len(row.tokens), seconds)
            self.cache.note(row.slot, sequence.computed)
            if row.logits:
                sequence.tokens.append(0)
        return taken


@pytest.fixture
def make_house(tokenizer, tiny_folder):
    """Build a scheduler around the checksum model."""

    def make(**options):
        return House(tokenizer, tiny_folder, **options)

    return make


def test_more_urgent_sequence_goes_first(make_house):
    """Among those that wait, priority decides and then arrival."""
    house = make_house(running=1)
    priorities = (Priority.LOW, Priority.NORMAL, Priority.CRITICAL, Priority.NORMAL)
    low, normal, critical, next_normal = [house.add(priority=priority) for priority in priorities]
    order = []
    while house.scheduler:
        order += house.step()
        house.scheduler.remove(order[-1])
    assert order == [critical, normal, next_normal, low]


def test_urgent_sequence_takes_the_place_of_the_least_urgent_youngest(make_house):
    """What gives way waits again and goes on where it was."""
    house = make_house(running=2)
    older = house.add(40, priority=Priority.BACKGROUND)
    house.now = 1
    younger = house.add(40, priority=Priority.BACKGROUND)
    house.step()
    urgent = house.add(priority=Priority.HIGH)
    assert set(house.step()) == {older, urgent}
    assert younger.slot is None
    house.scheduler.remove(urgent)
    assert house.step()[younger] == 1
    assert younger.computed == 41


def test_equally_urgent_sequence_waits(make_house):
    """Nobody gives way to his like."""
    house = make_house(running=1)
    first, second = house.add(), house.add()
    for _ in range(3):
        assert set(house.step()) == {first}
    assert second.slot is None


def test_waiting_makes_urgent(make_house):
    """What waits long enough goes before newcomers of any class and is no longer swapped out for them."""
    house = make_house(running=1)
    first = house.add()
    house.step()
    old = house.add(priority=Priority.BACKGROUND)
    house.now = 5 * AGEING_SECONDS
    house.add(priority=Priority.CRITICAL)
    house.scheduler.remove(first)
    assert set(house.step()) == {old}
    assert set(house.step()) == {old}


@pytest.mark.parametrize(("seconds", "goes_first"), [(9.9, False), (10.0, True)])
def test_ten_seconds_of_waiting_raise_a_sequence_by_a_class(make_house, seconds, goes_first):
    """Then it counts as one of the next class that came earlier."""
    house = make_house(running=1)
    low = house.add(priority=Priority.LOW)
    house.now = seconds
    normal = house.add(priority=Priority.NORMAL)
    assert set(house.step()) == {low if goes_first else normal}


def test_running_long_makes_nobody_urgent(make_house):
    """An answer of minutes gives way to a more urgent sequence as one of seconds does."""
    house = make_house(running=1)
    house.add(priority=Priority.BACKGROUND)
    house.step()
    house.now = 10 * AGEING_SECONDS
    urgent = house.add(priority=Priority.CRITICAL)
    assert set(house.step()) == {urgent}


def test_owners_share_the_places(make_house):
    """One owner's many sequences leave room for another's one, also when all of them run already."""
    house = make_house(running=4)
    greedy = []
    for house.now in range(8):
        greedy.append(house.add(40, owner="a"))
    assert set(house.step()) == set(greedy[:4])
    modest = [house.add(owner="b"), house.add(owner="b"), house.add(owner="b")]
    assert set(house.step()) == {*greedy[:2], *modest[:2]}
    assert set(house.step()) == {*greedy[:2], *modest[:2]}
    house.scheduler.remove(modest[0])
    assert modest[2] in house.step()


def test_short_prompt_is_not_delayed_by_a_long_one(make_house):
    """The rest of a step goes to the shortest, and the first to come goes on all the same."""
    house = make_house()
    long = house.add(10_000)
    house.step()
    short = house.add(100)
    taken = house.step()
    assert taken[short] == 100
    assert taken[long] == LARGEST_CHUNK - 100


def test_long_prompt_gets_on_among_many_short_ones(make_house):
    """However many short ones come, the first to come has a part of every step."""
    house = make_house(running=40, slots=64)
    long = house.add(10_000)
    house.step()
    for _ in range(20):
        house.now += 1
        for _ in range(3):
            house.add(250)
        assert house.step()[long] >= LARGEST_CHUNK // 4 or long.computed > 1000
    assert long.computed > 2000


def test_prompt_that_waited_long_goes_before_shorter_ones(make_house):
    """A second long prompt, too, need not wait until no short one comes any more."""
    house = make_house()
    house.add(50_000)
    long = house.add(2000)
    house.step()
    house.now += 60
    short = house.add(300)
    taken = house.step()
    assert taken[long] == LARGEST_CHUNK - LARGEST_CHUNK // 4
    assert short not in taken


def test_streams_bound_the_prompt_tokens_of_a_step(make_house):
    """Beside running streams a prompt gets what the time of a step allows, alone it gets all."""
    house = make_house()
    house.step_seconds, house.token_seconds = 0.05, 0.001
    stream, long = house.add(4), house.add(50_000)
    taken = [house.step() for _ in range(10)]
    assert all(step[stream] for step in taken)
    assert taken[-1][long] == 200
    house.scheduler.remove(stream)
    assert house.step()[long] == LARGEST_CHUNK


def test_prompts_that_begin_alike_are_computed_once(make_house):
    """Of sequences that come together one goes ahead, the others copy; other owners do not wait for it."""
    house = make_house(running=8)
    herd = [house.add(1200, start=1000) for _ in range(4)]
    stranger = house.add(1200, start=1000, owner="b")
    house.step()
    assert [sequence.slot is None for sequence in (*herd, stranger)] == [False, True, True, True, False]
    while any(sequence.remaining > 1 for sequence in (*herd, stranger)):
        house.step()
    known = [sequence.finish(FinishReason.STOP).usage.cached_tokens for sequence in (*herd, stranger)]
    assert known[0] == known[-1] == 0
    assert min(known[1:4]) >= 1200 - WORTH_WAITING_TOKENS - BLOCK_TOKENS


def test_herd_costs_little_while_it_waits(make_house):
    """However many wait for a prefix, planning a step compares few tokens."""

    class Counted(list):
        read = 0

        def __getitem__(self, place):
            found = super().__getitem__(place)
            if isinstance(place, slice):
                Counted.read += len(found)
            return found

    house = make_house(running=8)
    length = 1000
    for _ in range(500):
        sequence = house.add(length, start=1000)
        sequence.tokens = Counted(sequence.tokens)
    house.step()
    Counted.read = 0
    house.step()
    assert Counted.read < 3 * MOST_FOLLOWERS * length


def test_memory_admits_what_fits_and_swaps_out_what_grows_beyond(make_house):
    """Sequences that outgrow the memory together take turns, and each goes on where it was."""
    house = make_house(running=4, capacity=14 * BLOCK_TOKENS)
    sequences = [house.add(2 * BLOCK_TOKENS) for _ in range(3)]
    most = 0
    for _ in range(2000):
        taken = house.step()
        most = max(most, len(taken))
        assert house.cache.used <= 14 * BLOCK_TOKENS
        for sequence in taken:
            if len(sequence.tokens) > 10 * BLOCK_TOKENS and sequence.slot is not None:
                house.scheduler.remove(sequence)
        if not house.scheduler:
            break
    assert most == 2
    assert all(len(sequence.tokens) > 10 * BLOCK_TOKENS for sequence in sequences)


def test_nobody_gives_way_in_vain(make_house):
    """A rival whose memory is too little runs on, until what else is needed is free."""
    house = make_house(running=4, capacity=20 * BLOCK_TOKENS)
    normal = house.add(8 * BLOCK_TOKENS)
    low = house.add(2 * BLOCK_TOKENS, priority=Priority.LOW)
    house.step()
    large = house.add(14 * BLOCK_TOKENS)
    for _ in range(10):
        assert set(house.step()) == {normal, low}
        house.now += 1
    house.scheduler.remove(normal)
    assert set(house.step()) == {large}


def test_nobody_gives_way_where_only_an_unfair_share_would_do(make_house):
    """Of an owner's three, two would make room for another's one, and the third would be needed too."""
    house = make_house(running=8, capacity=24 * BLOCK_TOKENS)
    greedy = [house.add(2 * BLOCK_TOKENS, owner="a") for _ in range(3)]
    house.step()
    house.add(18 * BLOCK_TOKENS, owner="b")
    assert set(house.step()) == set(greedy)


def test_cancelling_works_in_every_state(make_house):
    """Waiting, running and swapped out sequences leave nothing behind."""
    house = make_house(running=1, remembers=False)
    running = house.add(40, priority=Priority.BACKGROUND)
    house.step()
    urgent = house.add(40, priority=Priority.HIGH)
    waiting = house.add(40)
    house.step()
    for sequence in (running, urgent, waiting):
        assert house.scheduler.find(sequence.request_id) == [sequence]
        house.scheduler.remove(sequence)
        assert house.scheduler.find(sequence.request_id) == []
    assert not house.scheduler
    assert house.cache.used == 0
