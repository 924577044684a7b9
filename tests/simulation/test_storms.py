"""Faults in numbers, in virtual time: how many requests end well, and how much traffic reaches what fails."""

import asyncio
from pathlib import Path
from random import Random

import attrs
import pytest
from host import hosting
from scenario import Client, Member, Scenario
from visit import Visit

from homeport import GenerationRequest, HomeportError, Sampling, Settings, TextPrompt
from homeport.config.gateway_settings import GatewaySettings
from homeport.testing import Fault, run_virtual

BEFORE = (Fault.CONNECT, Fault.SERVER_ERROR, Fault.OVERLOADED)
DOWN = (Fault.CONNECT, Fault.SERVER_ERROR)
MIDDLE = (Fault.CUT, Fault.BREAK, Fault.STALL, Fault.GARBAGE)
WORDS = "one two three four five six seven eight nine ten"


def member(name, weather=((0.0, 0.0),), faults=tuple(Fault), *, accent="", continues=True):
    return Member(
        name=name,
        models=("m:latest",),
        slots=64,
        continues=continues,
        accent=accent,
        faults=faults,
        weather=weather,
    )


def clients(count, per_second, **sampling):
    return tuple(
        Client(
            request=GenerationRequest(
                id=f"r{number}",
                model="m",
                prompt=TextPrompt(WORDS),
                sampling=Sampling(**{"temperature": 0.0} | sampling),
            ),
            comes_at=number / per_second,
            leaves_after=None,
        )
        for number in range(count)
    )


def run(members, clients, folder, seed=1):
    """Let all clients come; give what they saw, and the host."""
    scenario = Scenario(
        seed=seed,
        members=members,
        clients=clients,
        settings=Settings(home=Path("/nowhere"), gateway=GatewaySettings()),
        later_settings=None,
        reloads_at=0.0,
        forced=(),
        stops_at=None,
        most_calls=None,
    )

    async def course():
        visits = [Visit(client=client) for client in clients]
        async with hosting(scenario, folder) as host:
            async with asyncio.TaskGroup() as tasks:
                for visit in visits:
                    tasks.create_task(visit.run(host.gateway))
            return visits, host

    return run_virtual(course(), seed=seed)


@pytest.mark.parametrize("faults", [BEFORE, MIDDLE], ids=["before the first byte", "in the middle"])
@pytest.mark.slow
def test_faults_with_a_healthy_fallback_cost_no_answer(tmp_path, faults):
    """Of 10,000 requests at 5 % faults 99.9 % get the whole answer, and none hangs."""
    members = (member("a", ((0.0, 0.05),), faults), member("b"))
    visits, host = run(members, clients(10_000, 50.0), tmp_path)
    good = [visit for visit in visits if visit.finished is not None]
    assert all(visit.text == WORDS for visit in good)
    assert len(good) >= 9_990
    assert all(isinstance(visit.error, HomeportError) for visit in visits if visit.finished is None)
    assert max(visit.over_at - visit.client.comes_at for visit in visits) < 601
    assert sum(call.script.fault is not None for call in host.backends["a"].calls) > 100


def test_what_cannot_be_continued_ends_in_the_honest_error(tmp_path):
    """Where other weights would have to go on, each broken answer says that it is a part."""
    members = (
        member("a", ((0.0, 0.5),), MIDDLE, continues=False),
        member("b", accent="~", continues=False),
    )
    visits, _ = run(members, clients(300, 5.0), tmp_path)
    parts = [visit for visit in visits if visit.error is not None and visit.text]
    assert parts
    assert all(visit.error.partial.completion_tokens == len(visit.text.split()) for visit in parts)
    assert all(WORDS.startswith(visit.text) for visit in parts)


def test_a_backend_that_fails_is_left_alone(tmp_path):
    """Of a minute of failures a backend sees the beginning and single probes, and no client sees any."""
    rate, weather = 10.0, ((0.0, 0.0), (60.0, 1.0), (120.0, 0.0))
    visits, host = run((member("a", weather, DOWN), member("b")), clients(2000, rate), tmp_path)
    assert all(visit.finished is not None for visit in visits)
    calls = [call.began_at for call in host.backends["a"].calls]
    assert sum(65.0 < at < 120.0 for at in calls) <= 5
    assert sum(at > 150.0 for at in calls) > 10 * rate


def test_who_waits_for_a_backend_that_fails_goes_elsewhere(tmp_path):
    """When a breaker opens, those who wait behind it are not lost to it one after another."""
    members = (attrs.evolve(member("a", ((0.0, 1.0),), DOWN), slots=2), member("b"))
    crowd = tuple(attrs.evolve(client, comes_at=0.0) for client in clients(100, 1.0))
    visits, host = run(members, crowd, tmp_path)
    assert all(visit.finished is not None for visit in visits)
    assert len(host.backends["a"].calls) < 10


def test_a_backend_that_fails_alone_gets_no_storm(tmp_path):
    """Where nobody else is, a backend that fails sees at most a tenth more than what is asked of it."""
    visits, host = run((member("a", ((0.0, 1.0),), BEFORE),), clients(1200, 20.0), tmp_path)
    assert all(isinstance(visit.error, HomeportError) for visit in visits)
    assert len(host.backends["a"].calls) <= 1.1 * len(visits) + 3


def test_a_host_without_faults_makes_one_attempt_each(tmp_path):
    """Nothing is asked twice where nothing fails."""
    visits, host = run((member("a"), member("b")), clients(500, 50.0), tmp_path, seed=Random(1).randrange(99))
    assert all(visit.text == WORDS for visit in visits)
    assert sum(len(backend.calls) for backend in host.backends.values()) == len(visits)
    assert {visit.finished.usage.completion_tokens for visit in visits} == {10}
