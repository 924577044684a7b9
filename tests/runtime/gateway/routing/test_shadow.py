import asyncio
from contextlib import asynccontextmanager

import attrs
import pytest

from homeport import (
    BackendError,
    BackendKind,
    BackendSpec,
    Candidate,
    GuardSpec,
    Priority,
    Settings,
    hookimpl,
)
from homeport.config.gateway_settings import RouteSettings
from homeport.gateway.routing.shadow import MOST_RUNNING, Shadow, ShadowStats
from homeport.gateway.target import TargetKey
from homeport.runtime import Runtime
from homeport.testing import EchoBackend, EchoPlugin, Script, ScriptedBackend

KEY = TargetKey("here", "b")


class Follower(EchoBackend):
    """Offers a model of its own, and remembers what it was asked."""

    asked: asyncio.Queue

    def __init__(self):
        type(self).asked = asyncio.Queue()

    async def models(self):
        return [attrs.evolve(model, name="follower:latest") for model in await super().models()]

    def generate(self, request):
        self.asked.put_nowait(request)
        return super().generate(attrs.evolve(request, model="echo:latest"))


class Ledger:
    """A guard that notes what it does."""

    noted: list

    def __init__(self):
        type(self).noted = []

    def objection(self, request, candidate):
        return ""

    @asynccontextmanager
    async def attempt(self, attempt):
        self.noted.append("reserved")
        try:
            yield
        finally:
            self.noted.append("settled")

    async def aclose(self):
        self.noted.append("closed")


class Slow(ScriptedBackend):
    """Takes minutes, and tells when it is asked."""

    asked: asyncio.Event

    def __init__(self):
        super().__init__("slow", {"follower:latest": [Script(first_token_seconds=600.0)]})
        type(self).asked = asyncio.Event()

    def generate(self, request):
        self.asked.set()
        return super().generate(request)


class SlowPlugin:
    @hookimpl
    def homeport_backends(self):
        yield BackendSpec(name="slow", kind=BackendKind.REMOTE, factory=f"{__name__}:Slow")

    @hookimpl
    def homeport_guards(self):
        yield GuardSpec(name="ledger", factory=f"{__name__}:Ledger")


class FollowerPlugin:
    @hookimpl
    def homeport_backends(self):
        yield BackendSpec(name="follower", kind=BackendKind.REMOTE, factory=f"{__name__}:Follower")


@pytest.fixture
def candidate(planning):
    return Candidate("here", planning.model("b"))


async def test_copy_is_work_that_can_wait(planning, candidate):
    """A copy has an id of its own, the lowest priority, and a mark by which budgets can tell it."""
    sent = []

    async def serve(request, target):
        sent.append((request, target))

    asked = planning.ask("a", "hello", tags=("nightly",), agent="tagger", job="books")
    await Shadow(serve).run(asked, candidate)
    ((request, target),) = sent
    assert (request.id, request.priority, request.terms.tags) == (
        "r-shadow",
        Priority.BACKGROUND,
        ("nightly", "shadow"),
    )
    assert (request.terms.agent, request.terms.job) == ("", "")
    assert (request.prompt, target) == (planning.ask("a", "hello").prompt, candidate)


async def test_failure_of_a_copy_is_counted_and_stays_there(planning, candidate):
    """Neither an error nor a bug of the shadow reaches anybody."""
    faults = [BackendError("down"), ZeroDivisionError(), None]

    async def serve(request, target):
        fault = faults.pop()
        if fault is not None:
            raise fault

    shadow = Shadow(serve)
    for _ in range(3):
        await shadow.run(planning.ask("a"), candidate)
    assert shadow.stats() == {KEY: ShadowStats(finished=1, failed=2)}


async def test_copies_at_once_are_bounded(planning, candidate):
    """When enough copies run, further ones are left out; a cancelled one gives its place back."""
    gate = asyncio.Event()

    async def serve(request, target):
        await gate.wait()

    shadow = Shadow(serve)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(shadow.run(planning.ask("a"), candidate)) for _ in range(MOST_RUNNING)]
        await asyncio.sleep(0)
        await shadow.run(planning.ask("a"), candidate)
        running[0].cancel()
        await asyncio.wait(running[:1])
        last = tasks.create_task(shadow.run(planning.ask("a"), candidate))
        await asyncio.sleep(0)
        gate.set()
    assert last.done()
    assert shadow.stats() == {KEY: ShadowStats(finished=MOST_RUNNING, failed=0, left_out=1)}


async def test_shadow_of_a_route_is_asked_beside_the_answer(planning, tmp_path):
    """The client has its answer from the route's model; the shadow gets the same question, as background."""
    settings = Settings(
        home=tmp_path, routes={"echo": RouteSettings(shadow="follower", shadow_share=1.0, trial_requests=2)}
    )
    async with Runtime.open(
        settings, plugins={"echo": EchoPlugin(), "follower": FollowerPlugin()}
    ) as runtime:
        for number in range(4):
            async with runtime.gateway.generate(planning.ask("echo", f"hello {number}")) as reply:
                _ = [event async for event in reply]
            assert reply.route.backend == "echo"
        copies = [await asyncio.wait_for(Follower.asked.get(), 10) for _ in range(2)]
    assert [each.prompt.messages[0].content for each in copies] == ["hello 0", "hello 1"]
    assert {(each.id, each.priority) for each in copies} == {("r-shadow", Priority.BACKGROUND)}
    assert Follower.asked.empty()


async def test_copy_that_runs_when_the_host_stops_is_settled(planning, tmp_path):
    """Its guards hear of its end before they are closed, so no charge is lost."""
    settings = Settings(home=tmp_path, routes={"echo": RouteSettings(shadow="follower", shadow_share=1.0)})
    async with Runtime.open(settings, plugins={"echo": EchoPlugin(), "slow": SlowPlugin()}) as runtime:
        async with runtime.gateway.generate(planning.ask("echo", "hello")) as reply:
            _ = [event async for event in reply]
        await asyncio.wait_for(Slow.asked.wait(), 10)
    assert Ledger.noted == ["reserved", "settled", "reserved", "settled", "closed"]
