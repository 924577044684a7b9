import asyncio
import random
from contextlib import suppress

import attrs
import pytest

from homeport.config.gateway_settings import GatewaySettings, TimeoutSettings
from homeport.domain.errors import GenerationError, HomeportError
from homeport.domain.generation import GenerationRequest, Priority, TextPrompt, Usage
from homeport.domain.overload import DeadlineError, DrainingError, OverloadedError, RateLimitedError
from homeport.domain.terms import Terms
from homeport.gateway.admission.admission import Admission
from homeport.gateway.deadline import Deadline
from homeport.gateway.target import TargetKey
from homeport.testing.virtual_time import run_virtual

KEY = TargetKey("backend", "model")
OTHER = TargetKey("backend", "other")


def ask(name="", priority=Priority.NORMAL, *, owner="", agent=""):
    return GenerationRequest(
        id=name,
        model="model",
        prompt=TextPrompt("x"),
        priority=priority,
        owner=owner,
        terms=Terms(agent=agent),
    )


def admission(**settings):
    return Admission(GatewaySettings(**settings), random.Random(1))


class Floor:
    """A target with few places; requests on it run for a second of virtual time.

    Attributes:
        started: Names of requests, in the order in which they got places.
        waited: How long each of them waited, in seconds.
        errors: What others failed with.
    """

    def __init__(self, admission, *, slots=1, seconds=1.0):
        self.admission = admission
        self.slots = slots
        self.seconds = seconds
        self.started = []
        self.waited = {}
        self.errors = {}

    async def run(self, request, *, key=KEY, allowed=600.0, seconds=None):
        """Take a place, hold it, and leave."""
        try:
            async with self.admission.place(request, key, self.slots, Deadline.after(allowed)) as place:
                self.started.append(request.id)
                self.waited[request.id] = place.waited_seconds
                await asyncio.sleep(self.seconds if seconds is None else seconds)
        except HomeportError as error:
            self.errors[request.id] = error

    async def all(self, *requests, **options):
        """Run requests that come one right after another."""
        async with asyncio.TaskGroup() as group:
            for request in requests:
                group.create_task(self.run(request, **options))
                await asyncio.sleep(0)


def started(*requests, **settings):
    """Give the order in which requests that come at once start, on one place that the first one has."""

    async def play():
        floor = Floor(admission(**settings))
        await floor.all(ask("first"), *requests)
        return floor.started[1:]

    return run_virtual(play())


def test_urgent_requests_go_first():
    """All five classes, whatever the order in which they came."""
    names = [each.name for each in Priority]
    backwards = [ask(each.name, each) for each in reversed(Priority)]
    assert started(*backwards, batch_share=0.0, ageing_seconds=1e6) == names


def test_equals_go_in_the_order_in_which_they_came():
    """Within a class the first is the first."""
    assert started(*(ask(str(number)) for number in range(9))) == [str(number) for number in range(9)]


def test_waiting_makes_urgent():
    """A background request is not overtaken for ever: class by class it reaches the top, first come."""

    async def play():
        floor = Floor(admission(ageing_seconds=10.0, batch_share=0.0))
        async with asyncio.TaskGroup() as group:
            group.create_task(floor.run(ask("first")))
            await asyncio.sleep(0)
            group.create_task(floor.run(ask("old", Priority.BACKGROUND)))
            for number in range(60):
                group.create_task(floor.run(ask(str(number), Priority.HIGH)))
                await asyncio.sleep(0.9)
        return floor.waited["old"]

    assert run_virtual(play()) == pytest.approx(33, abs=3)


def test_batch_gets_its_share_while_others_wait():
    """One place in ten is for low and background."""
    requests = [ask(f"i{number}") for number in range(50)]
    requests += [ask(f"b{number}", Priority.BACKGROUND) for number in range(50)]
    order = started(*requests, batch_share=0.1, ageing_seconds=1e6)
    assert [name[0] for name in order[:50]].count("b") == 5
    assert order[9] == "b0"


def test_batch_has_all_places_when_nobody_else_waits():
    """A share is no ceiling."""
    requests = [ask(str(number), Priority.LOW) for number in range(5)]
    assert started(*requests, batch_share=0.0) == list("01234")


def test_owners_take_turns():
    """Who asks a hundred times does not push away who asks once."""
    crowd = [ask(f"a{number}", owner="a") for number in range(6)]
    order = started(*crowd, ask("b0", owner="b"), ask("c0", owner="c"), ask("b1", owner="b"))
    assert order == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4", "a5"]


def test_owner_who_has_less_running_goes_first():
    """Long requests of one owner count for as long as they run."""

    async def play():
        floor = Floor(admission(), slots=2)
        async with asyncio.TaskGroup() as group:
            group.create_task(floor.run(ask("long", owner="a"), seconds=100))
            group.create_task(floor.run(ask("first", owner="z")))
            await asyncio.sleep(0)
            await floor.all(
                ask("a0", owner="a"), ask("b0", owner="b"), ask("b1", owner="b"), ask("b2", owner="b")
            )
        return floor.started[2:]

    assert run_virtual(play()) == ["b0", "b1", "b2", "a0"]


def test_agents_of_an_owner_take_turns():
    """Within an owner each agent has its turn."""
    crowd = [ask(f"a{number}", agent="a") for number in range(3)]
    assert started(*crowd, ask("b0", agent="b")) == ["a0", "b0", "a1", "a2"]


def test_newest_go_first_once_the_oldest_has_used_half_its_time():
    """Under overload those are served that can still be served in time; batch stays in order."""

    async def play():
        settings = {"timeouts": TimeoutSettings(queue_seconds=20.0), "ageing_seconds": 5.0}
        floor = Floor(admission(**settings, batch_share=0.5))
        async with asyncio.TaskGroup() as group:
            group.create_task(floor.run(ask("first"), seconds=12))
            for number in range(4):
                group.create_task(floor.run(ask(f"i{number}")))
                group.create_task(floor.run(ask(f"b{number}", Priority.BACKGROUND)))
                await asyncio.sleep(0.1)
        return floor.started[1:]

    order = run_virtual(play())
    assert [name for name in order if name[0] == "i"] == ["i3", "i2", "i1", "i0"]
    assert [name for name in order if name[0] == "b"] == ["b0", "b1", "b2", "b3"]


def test_client_in_a_hurry_does_not_turn_the_queue_round():
    """What one request has left of its time says nothing of the others."""

    async def play():
        floor = Floor(admission())
        async with asyncio.TaskGroup() as group:
            group.create_task(floor.run(ask("first"), seconds=0.7))
            group.create_task(floor.run(ask("hurried"), allowed=1.0, seconds=0.1))
            await floor.all(*(ask(str(number)) for number in range(4)))
        return floor.started

    assert run_virtual(play()) == ["first", "hurried", "0", "1", "2", "3"]


def test_newest_go_first_in_the_class_they_asked_for():
    """Age does not lift those whose time is all but over above fresh ones."""

    async def play():
        settings = {"timeouts": TimeoutSettings(queue_seconds=20.0), "ageing_seconds": 5.0}
        floor = Floor(admission(**settings))
        async with asyncio.TaskGroup() as group:
            group.create_task(floor.run(ask("first"), seconds=12))
            for name in ("old", "middle", "fresh"):
                group.create_task(floor.run(ask(name)))
                await asyncio.sleep(5.5)
        return floor.started[1:]

    assert run_virtual(play()) == ["fresh", "middle", "old"]


def test_full_queue_refuses_equals_at_once():
    """The one too many is told when to come back, and nobody who waits is harmed."""

    async def play():
        floor = Floor(admission(max_waiting=2), seconds=4.0)
        await floor.all(*(ask(str(number)) for number in range(4)))
        return floor, floor.admission.stats()

    floor, stats = run_virtual(play())
    assert floor.started == ["0", "1", "2"]
    assert isinstance(floor.errors["3"], OverloadedError)
    assert "max_waiting" in floor.errors["3"].hint
    assert (stats.refused, stats.shed, stats.completed) == (1, 0, 3)


def test_more_urgent_request_takes_the_seat_of_the_newest_of_the_lowest_class():
    """Over all targets the bound is one, and shed is who would be missed least."""

    async def play():
        floor = Floor(admission(max_waiting=3, batch_share=0.0))
        async with asyncio.TaskGroup() as group:
            for key in (KEY, OTHER):
                group.create_task(floor.run(ask(f"first {key.model}"), key=key))
                await asyncio.sleep(0)
            for name, priority, key in (
                ("low", Priority.LOW, KEY),
                ("background", Priority.BACKGROUND, OTHER),
                ("newest", Priority.BACKGROUND, KEY),
                ("urgent", Priority.HIGH, OTHER),
                ("equal", Priority.BACKGROUND, OTHER),
            ):
                group.create_task(floor.run(ask(name, priority), key=key))
                await asyncio.sleep(0)
        return floor, floor.admission.stats()

    floor, stats = run_virtual(play())
    assert set(floor.errors) == {"newest", "equal"}
    assert all(type(error) is OverloadedError for error in floor.errors.values())
    assert (stats.shed, stats.refused, stats.max_size) == (1, 1, 3)


def test_time_to_come_back_follows_from_queue_and_service():
    """Nine wait for one place of ten seconds: about a hundred seconds, and never more than 120."""

    async def play():
        floor = Floor(admission(max_waiting=9), seconds=10.0)
        await floor.run(ask("measured"))
        await floor.all(*(ask(str(number)) for number in range(11)))
        return floor.errors["10"].retry_after_seconds

    assert 100 <= run_virtual(play()) <= 120


def test_wait_that_cannot_end_in_time_is_refused_at_the_door():
    """Where service times are known, nobody waits only to be late."""

    async def play():
        floor = Floor(admission(), seconds=2.0)
        for number in range(25):
            await floor.run(ask(f"measured {number}"))
        asked_at = asyncio.get_running_loop().time()
        await floor.all(*(ask(str(number)) for number in range(8)), allowed=9.0)
        return floor, asked_at

    floor, _ = run_virtual(play())
    assert type(floor.errors.pop("6")) is OverloadedError
    assert type(floor.errors.pop("7")) is OverloadedError
    assert {type(error) for error in floor.errors.values()} <= {DeadlineError}


def test_nothing_is_foretold_before_it_is_measured():
    """Without figures everybody may wait and see."""

    async def play():
        floor = Floor(admission(), seconds=2.0)
        await floor.all(*(ask(str(number)) for number in range(8)), allowed=5.0)
        return floor.errors

    assert {error.stage for error in run_virtual(play()).values()} == {"total"}


def test_wait_ends_with_the_time_for_it():
    """Too long in the queue is an error of the queue, at that moment, and the seat is free again."""

    async def play():
        floor = Floor(admission(timeouts=TimeoutSettings(queue_seconds=3.0)), seconds=10.0)
        await floor.all(ask("first"), ask("late"))
        return floor, floor.admission.stats()

    floor, stats = run_virtual(play())
    assert (floor.errors["late"].stage, floor.started) == ("queue", ["first"])
    assert (stats.timed_out, stats.current_size, stats.completed) == (1, 0, 1)


def test_request_without_time_never_waits():
    """A deadline that has passed is noticed before a place is taken."""

    async def play():
        floor = Floor(admission())
        await floor.run(ask("late"), allowed=0.0)
        return floor

    floor = run_virtual(play())
    assert floor.started == []
    assert floor.errors["late"].stage == "total"


@pytest.mark.parametrize("is_granted", [True, False])
def test_client_that_leaves_the_queue_leaves_no_trace(is_granted):
    """Also when the place comes in the very moment in which the client goes."""

    async def play():
        floor = Floor(admission())
        async with asyncio.TaskGroup() as group:
            leaver = group.create_task(floor.run(ask("leaver")))
            async with floor.admission.place(ask(), KEY, 1, Deadline.after(600)):
                await asyncio.sleep(1)
                if not is_granted:
                    leaver.cancel()
                    await asyncio.sleep(1)
                    assert floor.admission.load_of(KEY).waiting == 0
            leaver.cancel()
            group.create_task(floor.run(ask("next")))
        return floor, floor.admission.load_of(KEY), floor.admission.stats()

    floor, load, stats = run_virtual(play())
    assert floor.started == ["next"]
    assert (load.in_flight, load.waiting, stats.active, stats.cancelled) == (0, 0, 0, 1)


def test_bound_over_all_models_is_kept_and_shared():
    """With one place in the house two targets take turns, the more urgent first."""

    async def play():
        floor = Floor(admission(max_running=1), slots=5)
        async with asyncio.TaskGroup() as group:
            group.create_task(floor.run(ask("first")))
            await asyncio.sleep(0)
            for number in range(3):
                for key in (KEY, OTHER):
                    group.create_task(floor.run(ask(f"{key.model} {number}"), key=key))
            group.create_task(floor.run(ask("urgent", Priority.HIGH), key=OTHER))
            await asyncio.sleep(0.5)
            assert floor.admission.stats().active == 1
        return floor.started

    assert run_virtual(play()) == [
        "first",
        "urgent",
        "model 0",
        "other 0",
        "model 1",
        "other 1",
        "model 2",
        "other 2",
    ]


def test_batch_has_its_share_of_the_house_too():
    """Where the house is what is full, batch work on one model gets its part beside another's."""

    async def play():
        floor = Floor(admission(max_running=1, batch_share=0.25, ageing_seconds=1e6))
        async with asyncio.TaskGroup() as group:
            group.create_task(floor.run(ask("first")))
            await asyncio.sleep(0)
            for number in range(12):
                group.create_task(floor.run(ask(f"i{number}")))
                group.create_task(floor.run(ask(f"b{number}", Priority.LOW), key=OTHER))
        return floor.started[1:13]

    assert [name[0] for name in run_virtual(play())].count("b") == 3


def test_agent_that_has_enough_running_waits_without_holding_others_up():
    """Its requests wait, those of others and of nobody pass it, on whatever model."""

    async def play():
        floor = Floor(admission(max_running_per_agent=2), slots=4)
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                key = (KEY, OTHER)[number % 2]
                group.create_task(floor.run(ask(f"a{number}", agent="a"), key=key))
            await asyncio.sleep(0.1)
            group.create_task(floor.run(ask("b0", agent="b")))
            group.create_task(floor.run(ask("nobody")))
            group.create_task(floor.run(ask("other owner", agent="a", owner="o")))
        return floor

    floor = run_virtual(play())
    assert floor.started[:5] == ["a0", "a1", "b0", "nobody", "other owner"]
    assert set(floor.started[5:]) == {"a2", "a3"}
    assert floor.waited["b0"] == floor.waited["nobody"] == 0
    assert floor.errors == {}


def test_agent_that_waits_for_a_free_target_is_woken_by_another():
    """Its place on one model frees its request for another that is idle all the time."""

    async def play():
        floor = Floor(admission(max_running_per_agent=1))
        await asyncio.gather(
            floor.run(ask("a0", agent="a"), seconds=2), floor.run(ask("a1", agent="a"), key=OTHER)
        )
        return floor.waited["a1"]

    assert run_virtual(play()) == pytest.approx(2)


def test_unknown_target_is_found_out():
    """Without announced places two run at first, more when they do well, half after a refusal."""

    async def play():
        floor = Floor(admission(), slots=0)
        limits = [floor.admission.load_of(KEY).limit]
        await floor.all(*(ask(str(number)) for number in range(20)))
        limits.append(floor.admission.load_of(KEY).limit)
        with suppress(OverloadedError):
            async with floor.admission.place(ask(), KEY, 0, Deadline.after(600)) as place:
                place.note(OverloadedError("busy"))
        limits.append(floor.admission.load_of(KEY).limit)
        return limits

    first, grown, cut = run_virtual(play())
    assert first == 2
    assert grown > 4
    assert cut == grown // 2


def test_more_slots_wake_those_who_wait():
    """A target that announces more places has them at once."""

    async def play():
        floor = Floor(admission())
        async with asyncio.TaskGroup() as group:
            group.create_task(floor.run(ask("a")))
            await asyncio.sleep(0)
            group.create_task(floor.run(ask("b")))
            await asyncio.sleep(0)
            floor.slots = 3
            group.create_task(floor.run(ask("c")))
        return floor.waited

    assert run_virtual(play()) == {"a": 0, "b": 0, "c": 0}


def test_other_settings_let_more_in_at_once():
    """A reload wakes those whom it allows to run and turns nobody out."""

    async def play():
        floor = Floor(admission(max_running=1, max_running_per_agent=1), slots=8)
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(floor.run(ask(str(number), agent="a")))
            await asyncio.sleep(0.5)
            floor.admission.reconfigure(GatewaySettings(max_running_per_agent=4, max_waiting=1))
        return floor.waited

    assert list(run_virtual(play()).values()) == pytest.approx([0, 0.5, 0.5, 0.5])


def test_figures_tell_what_happened():
    """Each request is counted once, by how it ended, and times are those of the clock."""

    async def play():
        floor = Floor(admission(), seconds=2.0)
        async with asyncio.TaskGroup() as group:
            await floor.all(ask("a"), ask("b"))

            async def fail(error):
                with suppress(type(error)):
                    async with floor.admission.place(ask(), KEY, 1, Deadline.after(600)):
                        raise error

            await fail(GenerationError("x"))
            await fail(DeadlineError("stall", 15))
            left = group.create_task(floor.run(ask()))
            await asyncio.sleep(1)
            left.cancel()
        return floor.admission.stats()

    stats = run_virtual(play())
    assert (stats.completed, stats.failed, stats.timed_out, stats.cancelled) == (2, 1, 1, 1)
    assert (stats.success_rate, stats.active, stats.current_size, stats.max_size) == (0.5, 0, 0, 512)
    assert stats.average_queue_time == pytest.approx(2 / 5)
    assert stats.average_processing_time == pytest.approx(1)
    assert (stats.queue_times.p50, stats.processing_times.p95) == (0, 2)
    assert stats.throughput == pytest.approx(2 / 60)
    assert stats.depths == (0, 0, 0, 0, 0)


def test_figures_tell_who_waits():
    """Depth by class, and the load of each target."""

    async def play():
        floor = Floor(admission(batch_share=0.0))
        async with asyncio.TaskGroup() as group:
            group.create_task(floor.run(ask("first")))
            await asyncio.sleep(0)
            for priority in (Priority.HIGH, Priority.LOW, Priority.LOW):
                group.create_task(floor.run(ask(priority=priority)))
            await asyncio.sleep(0.5)
            return floor.admission.stats()

    stats = run_virtual(play())
    assert stats.depths == (0, 1, 0, 2, 0)
    assert attrs.asdict(stats.targets["backend/model"]) == {"in_flight": 1, "waiting": 3, "limit": 1}


def test_idle_targets_are_forgotten():
    """Models that come and go do not fill the memory, and those that run are remembered."""

    async def play():
        floor = Floor(admission(), seconds=0.0)
        async with floor.admission.place(ask(), KEY, 1, Deadline.after(600)):
            for number in range(5000):
                await floor.run(ask(), key=TargetKey("backend", str(number)))
            return floor.admission.stats().targets

    targets = run_virtual(play())
    assert len(targets) <= 4096
    assert targets[str(KEY)].in_flight == 1


async def test_keys_have_limits_of_their_own():
    """One request too many of a key is a 429 with a time, and another key does not notice."""
    door = admission(max_running_per_key=1)
    with door.enter(ask(owner="a")):
        with (
            pytest.raises(RateLimitedError, match="1 requests of this key") as caught,
            door.enter(ask(owner="a")),
        ):
            pytest.fail("entered")
        with door.enter(ask(owner="b")), door.enter(ask()), door.enter(ask()):
            pass
    assert 1 <= caught.value.retry_after_seconds <= 120
    with door.enter(ask(owner="a")):
        pass


def test_rate_of_requests_is_bounded():
    """The third of two a minute comes half a minute later."""

    async def play():
        door = admission(requests_per_minute=2)
        for _ in range(2):
            with door.enter(ask(owner="a")):
                pass
        with (
            pytest.raises(RateLimitedError, match="requests_per_minute") as caught,
            door.enter(ask(owner="a")),
        ):
            pytest.fail("entered")
        await asyncio.sleep(caught.value.retry_after_seconds)
        with door.enter(ask(owner="a")):
            pass
        return caught.value.retry_after_seconds

    assert run_virtual(play()) == 30


def test_rate_of_tokens_is_bounded_by_what_was_used():
    """Who used two minutes' worth waits for one; without a key nobody counts."""

    async def play():
        door = admission(tokens_per_minute=100)
        door.spend_tokens("a", 200)
        door.spend_tokens("", 10_000)
        with pytest.raises(RateLimitedError, match="tokens_per_minute") as caught, door.enter(ask(owner="a")):
            pytest.fail("entered")
        with door.enter(ask()):
            return caught.value.retry_after_seconds

    assert run_virtual(play()) == 60


async def test_closed_door_turns_new_requests_away():
    """Whoever is in stays, and the others are told when to come back."""
    door = admission()
    with door.enter(ask()):
        door.close()
        with pytest.raises(DrainingError) as caught, door.enter(ask()):
            pytest.fail("entered")
    assert caught.value.retry_after_seconds == 30


def test_cut_ends_what_runs_and_what_waits_with_an_error():
    """Both leave with an error that can be told, with what the client has, and their places are free."""

    async def play():
        door = admission()
        errors = []

        async def visit(request):
            try:
                with door.enter(request) as visit:
                    async with door.place(request, KEY, 1, Deadline.after(600)):
                        visit.partial = lambda: Usage(completion_tokens=7)
                        await asyncio.Event().wait()
            except DrainingError as error:
                errors.append(error)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(visit(ask(str(number)))) for number in range(2)]
            await asyncio.sleep(1)
            door.cut()
            door.cut()
        return errors, door.stats(), [task.cancelling() for task in tasks]

    errors, stats, cancelling = run_virtual(play())
    assert [error.partial for error in errors] == [Usage(completion_tokens=7), None]
    assert (stats.active, stats.current_size, cancelling) == (0, 0, [0, 0])


def test_cut_reaches_a_request_whose_reader_is_busy():
    """A generator that is closed in the middle of a cut says why."""

    async def play():
        door = admission()

        async def events():
            with door.enter(ask()):
                yield "one"
                yield "two"

        async def read():
            stream = events()
            try:
                async for _ in stream:
                    await asyncio.Event().wait()
            finally:
                await stream.aclose()

        reader = asyncio.create_task(read())
        await asyncio.sleep(1)
        door.cut()
        with pytest.raises(DrainingError):
            await reader

    run_virtual(play())


def test_cancellation_of_the_client_stays_one():
    """Whoever leaves in the moment of the cut is not told anything."""

    async def play():
        door = admission()

        async def visit():
            with door.enter(ask()):
                await asyncio.Event().wait()

        visitor = asyncio.create_task(visit())
        await asyncio.sleep(1)
        visitor.cancel()
        door.cut()
        with pytest.raises(asyncio.CancelledError):
            await visitor

    run_virtual(play())


def test_queue_holds_no_more_than_is_served_in_time():
    """What would wait for more than two fifths of its time is refused at once; a more urgent one is not."""

    async def play():
        door, waits = admission(timeouts=TimeoutSettings(queue_seconds=10.0)), []

        async def one(priority=Priority.NORMAL):
            try:
                async with door.place(ask(priority=priority), KEY, 2, Deadline.after(60)) as place:
                    await asyncio.sleep(1)
                    waits.append(place.waited_seconds)
            except OverloadedError:
                waits.append(None)

        for _ in range(20):
            await one()
        waits.clear()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(12):
                tasks.create_task(one())
            await asyncio.sleep(0)
            at_once = list(waits)
            tasks.create_task(one(Priority.HIGH))
        return at_once, waits

    at_once, waits = run_virtual(play())
    assert at_once == [None, None]
    assert waits.count(None) == 3
    assert max(wait for wait in waits if wait is not None) <= 4
