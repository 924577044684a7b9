"""Ten thousand requests to a backend of which one in twenty fails, with a healthy one beside it."""

import asyncio
from random import Random

import attrs
import pytest

from homeport import (
    BackendKind,
    BackendSpec,
    Finished,
    GenerationRequest,
    HomeportError,
    Sampling,
    Settings,
    Terms,
    TextDelta,
    TextPrompt,
    hookimpl,
)
from homeport.config.gateway_settings import GatewaySettings
from homeport.runtime import Runtime
from homeport.testing.script import Fault, Script
from homeport.testing.scripted import ScriptedBackend
from homeport.testing.virtual_time import run_virtual

HERE = __name__
MODEL = "m:latest"
WORDS = "one two three four five six"
REQUESTS = 10_000
PER_SECOND = 50.0
DEADLINE_SECONDS = 120.0
GRACE_SECONDS = 1.0
BACKENDS = {}
BEFORE_THE_FIRST_BYTE = (
    Fault.CONNECT,
    Fault.SERVER_ERROR,
    Fault.OVERLOADED,
    Fault.STALL,
    Fault.CUT,
    Fault.BUG,
)
MID_STREAM = (Fault.STALL, Fault.CUT, Fault.BREAK, Fault.GARBAGE, Fault.BUG)


def faulty():
    return BACKENDS["faulty"]


def healthy():
    return BACKENDS["healthy"]


class Both:
    @hookimpl
    def homeport_backends(self):
        for name in ("faulty", "healthy"):
            yield BackendSpec(name=name, kind=BackendKind.REMOTE, factory=f"{HERE}:{name}")


def scripts(generator, faults, at_token):
    while True:
        script = Script.draw(generator, fault_share=0.05, faults=faults)
        yield attrs.evolve(script, at_token=at_token(), tokens_per_second=20.0)


@attrs.define
class Tally:
    whole: int = 0
    partial: int = 0
    failed: int = 0
    wrong: int = 0
    late: int = 0


async def one(door, number, temperature, tally):
    loop = asyncio.get_running_loop()
    request = GenerationRequest(
        id=f"r{number}",
        model="m",
        prompt=TextPrompt(WORDS),
        sampling=Sampling(temperature=temperature),
        terms=Terms(deadline_seconds=DEADLINE_SECONDS, seed=number),
    )
    began, pieces, finished = loop.time(), [], False
    try:
        async with door.generate(request) as reply:
            async for event in reply:
                pieces += [event.text] if isinstance(event, TextDelta) else []
                finished |= isinstance(event, Finished)
    except HomeportError as error:
        tally.partial += error.partial is not None
        tally.failed += error.partial is None
    else:
        tally.whole += finished
        tally.wrong += "".join(pieces) != WORDS
    tally.late += loop.time() - began > DEADLINE_SECONDS + GRACE_SECONDS


async def many(tmp_path, temperature):
    tally = Tally()
    settings = Settings(home=tmp_path, gateway=GatewaySettings(max_waiting=REQUESTS))
    async with Runtime.open(settings, plugins={"both": Both()}) as runtime, asyncio.TaskGroup() as tasks:
        for number in range(REQUESTS):
            tasks.create_task(one(runtime.gateway, number, temperature, tally))
            await asyncio.sleep(1 / PER_SECOND)
    return tally


def run(tmp_path, *, faults, at_token, temperature):
    BACKENDS["faulty"] = ScriptedBackend(
        "faulty", {MODEL: scripts(Random(7), faults, at_token)}, slots=512, continues=True
    )
    BACKENDS["healthy"] = ScriptedBackend("healthy", {MODEL: [Script()]}, slots=512, continues=True)
    tally = run_virtual(many(tmp_path, temperature))
    assert tally.whole + tally.partial + tally.failed == REQUESTS
    assert (tally.wrong, tally.late) == (0, 0)
    assert sum(call.script.fault is not None for call in faulty().calls) > 0.04 * len(faulty().calls)
    return tally


def test_faults_before_the_first_byte_are_mended(tmp_path):
    """99.9 % of the answers are whole, right and in time."""
    tally = run(tmp_path, faults=BEFORE_THE_FIRST_BYTE, at_token=lambda: 0, temperature=1.0)
    assert tally.whole >= 0.999 * REQUESTS


def test_faults_in_the_middle_are_mended_where_an_answer_can_be_continued(tmp_path):
    """Likewise for greedy answers of weights that both backends have."""
    generator = Random(3)
    tally = run(tmp_path, faults=MID_STREAM, at_token=lambda: generator.randrange(1, 6), temperature=0.0)
    assert tally.whole >= 0.999 * REQUESTS


def test_other_faults_in_the_middle_end_in_an_error_that_says_so(tmp_path):
    """Nothing is cut in silence, and nothing fails that a client has no part of."""
    generator = Random(5)
    tally = run(tmp_path, faults=MID_STREAM, at_token=lambda: generator.randrange(1, 6), temperature=1.0)
    assert tally.failed <= 0.001 * REQUESTS
    assert tally.partial == pytest.approx(0.05 * REQUESTS, rel=0.3)
