"""Admission under whatever comes: requests of all kinds, clients that leave, backends that fail."""

import asyncio
import random
import statistics
from collections import Counter, defaultdict
from itertools import chain

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.config.gateway_settings import GatewaySettings, TimeoutSettings
from homeport.domain.errors import GenerationError, HomeportError
from homeport.domain.generation import GenerationRequest, Priority, TextPrompt
from homeport.domain.overload import DeadlineError, OverloadedError
from homeport.domain.terms import Terms
from homeport.gateway.admission.admission import Admission
from homeport.gateway.deadline import Deadline
from homeport.gateway.target import TargetKey
from homeport.testing.virtual_time import run_virtual

SECONDS = st.floats(0, 30, allow_nan=False)


@attrs.frozen(kw_only=True)
class Arrival:
    """One request: when it comes and what becomes of it where it gets a place."""

    after_seconds: float
    priority: Priority
    owner: str
    agent: str
    model: str
    holds_seconds: float
    allowed_seconds: float
    leaves_after_seconds: float | None
    error: HomeportError | None


ARRIVALS = st.builds(
    Arrival,
    after_seconds=st.one_of(st.just(0.0), st.floats(0, 3)),
    priority=st.sampled_from(Priority),
    owner=st.sampled_from(["", "a", "b"]),
    agent=st.sampled_from(["", "x", "y"]),
    model=st.sampled_from(["one", "two"]),
    holds_seconds=SECONDS,
    allowed_seconds=st.floats(0.1, 100),
    leaves_after_seconds=st.one_of(st.none(), SECONDS),
    error=st.sampled_from(
        [None, None, GenerationError("x"), OverloadedError("x"), DeadlineError("stall", 1)]
    ),
)


class House:
    """Runs arrivals and checks, with every step, what must never be otherwise."""

    def __init__(self, given, slots):
        self.given = given
        self.slots = slots
        self.admission = Admission(given, random.Random(1))
        self.running = Counter()
        self.agents = Counter()
        self.ends = Counter()

    def check(self):
        stats = self.admission.stats()
        assert stats.current_size == sum(stats.depths) <= self.given.max_waiting
        assert stats.active == sum(load.in_flight for load in stats.targets.values())
        if self.given.max_running:
            assert stats.active <= self.given.max_running
        assert all(count <= self.given.max_running_per_agent for count in self.agents.values())
        assert all(count <= self.slots[model] for model, count in self.running.items() if self.slots[model])
        for model, slots in self.slots.items():
            load = self.admission.load_of(TargetKey("b", model))
            assert not slots or load.in_flight <= slots

    async def run(self, arrivals):
        async with asyncio.TaskGroup() as group:
            for arrival in arrivals:
                await asyncio.sleep(arrival.after_seconds)
                task = group.create_task(self.visit(arrival))
                if arrival.leaves_after_seconds is not None:
                    asyncio.get_running_loop().call_later(arrival.leaves_after_seconds, task.cancel)
        self.check()
        return self.admission.stats()

    async def visit(self, arrival):
        request = GenerationRequest(
            id="r",
            model=arrival.model,
            prompt=TextPrompt(""),
            priority=arrival.priority,
            owner=arrival.owner,
            terms=Terms(agent=arrival.agent),
        )
        try:
            await self.work(arrival, request)
            self.ends["served"] += 1
        except asyncio.CancelledError:
            self.ends["left"] += 1
        except HomeportError as error:
            self.ends["failed" if error is arrival.error else type(error).__name__] += 1
        self.check()

    async def work(self, arrival, request):
        deadline = Deadline.after(arrival.allowed_seconds)
        key = TargetKey("b", arrival.model)
        async with self.admission.place(request, key, self.slots[arrival.model], deadline) as place:
            assert place.waited_seconds <= arrival.allowed_seconds + 1e-3
            name = (arrival.owner, arrival.agent)
            self.running[arrival.model] += 1
            self.agents[name] += bool(arrival.agent)
            self.check()
            try:
                await asyncio.sleep(arrival.holds_seconds)
                if arrival.error is not None:
                    raise arrival.error
            finally:
                self.running[arrival.model] -= 1
                self.agents[name] -= bool(arrival.agent)


GIVEN = st.builds(
    GatewaySettings,
    max_waiting=st.integers(1, 10),
    max_running=st.integers(0, 4),
    max_running_per_agent=st.integers(1, 3),
    batch_share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    timeouts=st.just(TimeoutSettings(queue_seconds=20.0)),
)


@settings(deadline=None, max_examples=200)
@given(
    arrivals=st.lists(ARRIVALS, max_size=40),
    slots=st.fixed_dictionaries({"one": st.integers(0, 3), "two": st.integers(0, 3)}),
    given=GIVEN,
    seed=st.integers(0, 3),
)
def test_bounds_hold_and_nobody_is_lost(arrivals, slots, given, seed):
    """Never more run or wait than may, each request ends once, and all places are free again."""
    house = House(given, slots)
    stats = run_virtual(house.run(arrivals), seed=seed, most_seconds=10_000)
    assert sum(house.ends.values()) == len(arrivals)
    assert (stats.active, stats.current_size) == (0, 0)
    assert {load.in_flight for load in stats.targets.values()} <= {0}
    assert len(house.admission._places.agents) == 0
    counted = stats.completed + stats.failed + stats.timed_out + stats.cancelled + stats.refused + stats.shed
    assert counted <= len(arrivals)
    assert stats.completed == house.ends["served"]


@pytest.mark.parametrize("seed", range(3))
def test_no_class_starves(seed):
    """Of 3,000 requests of 131 agents on 12 places none waits for more than 5 times the median of its class.

    Where that is next to nothing, as for the urgent, none waits for more than the median of all.
    """

    async def play():
        chance = random.Random(seed)
        admission = Admission(GatewaySettings(), chance)
        waits = defaultdict(list)
        left = iter(range(3000))

        async def agent(number):
            for _ in left:
                priority = chance.choices(list(Priority), [1, 4, 10, 4, 2])[0]
                request = GenerationRequest(
                    id="r",
                    model="m",
                    prompt=TextPrompt(""),
                    priority=priority,
                    owner=f"key {number % 7}",
                    terms=Terms(agent=f"agent {number}"),
                )
                async with admission.place(request, TargetKey("b", "m"), 12, Deadline.after(600)) as place:
                    waits[priority].append(place.waited_seconds)
                    await asyncio.sleep(chance.expovariate(1))

        async with asyncio.TaskGroup() as group:
            for number in range(131):
                group.create_task(agent(number))
        return waits

    waits = run_virtual(play(), seed=seed)
    assert sum(map(len, waits.values())) == 3000
    of_all = statistics.median(chain.from_iterable(waits.values()))
    for times in waits.values():
        assert max(times) <= max(5 * statistics.median(times), of_all)


def test_overload_leaves_most_of_the_capacity_useful():
    """At ten times what can be served, nine in ten places go to requests that end in time.

    A second after it is over, a request waits for no more than the queue held: two fifths of ten seconds.
    """

    async def play():
        chance = random.Random(1)
        admission = Admission(GatewaySettings(timeouts=TimeoutSettings(queue_seconds=10.0)), chance)
        loop, ends = asyncio.get_running_loop(), Counter()

        request = GenerationRequest(id="r", model="m", prompt=TextPrompt(""))

        async def after():
            await asyncio.sleep(61)
            async with admission.place(request, TargetKey("b", "m"), 10, Deadline.after(10.0)) as place:
                return place.waited_seconds

        async def one():
            try:
                async with admission.place(request, TargetKey("b", "m"), 10, Deadline.after(10.0)) as place:
                    await asyncio.sleep(0.5)
                    ends["late" if place.waited_seconds > 9.5 else "in time"] += 1
            except (OverloadedError, DeadlineError) as error:
                ends[type(error).__name__] += 1

        async with asyncio.TaskGroup() as group:
            later = group.create_task(after())
            while loop.time() < 60:
                group.create_task(one())
                await asyncio.sleep(chance.expovariate(200))
        return ends, later.result()

    ends, waited_seconds = run_virtual(play(), seed=1)
    assert ends["in time"] >= 0.9 * 20 * 60
    assert waited_seconds < 4
