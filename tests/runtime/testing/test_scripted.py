import asyncio
import itertools
import math
from random import Random

import pytest

from homeport import (
    BackendError,
    EmbeddingRequest,
    Finished,
    GenerationRequest,
    InvalidRequestError,
    ModelNotFoundError,
    OverloadedError,
    PromptAccepted,
    Sampling,
    TextDelta,
    TextPrompt,
)
from homeport.testing import Fault, Script, ScriptedBackend, drawn_scripts, in_virtual_time, run_virtual
from homeport.testing.backend_conformance import BackendConformance
from homeport.testing.whole_answer import WholeAnswer

WORDS = "one two three four five"


class TestScripted(BackendConformance):
    """A scripted backend without faults keeps the contract of a backend."""

    text_model = "m:latest"
    embedding_model = "m:latest"

    def make_backend(self):
        return backend(Script(first_token_seconds=0.0, tokens_per_second=1000.0))


def backend(*scripts, **options):
    return ScriptedBackend("a", {"m:latest": scripts}, **options)


def ask(prompt=WORDS, begun="", **sampling):
    return GenerationRequest(
        id="r", model="m:latest", prompt=TextPrompt(prompt), sampling=Sampling(**sampling), begun=begun
    )


async def answer(backend, request):
    async with backend.generate(request) as events:
        return await WholeAnswer.read(events)


@in_virtual_time
async def test_an_undisturbed_call_takes_the_time_of_its_script():
    """The first event comes after its delay, and each token at the pace of the script."""
    played = backend(Script(first_token_seconds=2.0, tokens_per_second=4.0))
    now = asyncio.get_running_loop().time
    async with played.generate(ask()) as events:
        times = [(type(event), now()) async for event in events]
    assert times[0] == (PromptAccepted, 2.0)
    assert [at for kind, at in times if kind is TextDelta] == [2.25, 2.5, 2.75, 3.0, 3.25]
    assert times[-1] == (Finished, 3.25)


@pytest.mark.parametrize(
    ("fault", "error", "tokens"),
    [
        (Fault.CONNECT, BackendError, 0),
        (Fault.SERVER_ERROR, BackendError, 0),
        (Fault.OVERLOADED, OverloadedError, 0),
        (Fault.REFUSED, InvalidRequestError, 0),
        (Fault.BREAK, BackendError, 3),
        (Fault.BUG, ZeroDivisionError, 3),
    ],
)
@in_virtual_time
async def test_a_fault_that_raises_does_so_in_its_place(fault, error, tokens):
    """Errors come before the first event or behind the token that the script names."""
    played = backend(Script(fault=fault, at_token=3))
    with pytest.raises(error):
        await answer(played, ask())
    assert played.calls[0].tokens == tokens
    assert not played.calls[0].is_finished
    assert played.calls[0].ended_at is not None
    assert played.running["m:latest"] == 0


@in_virtual_time
async def test_a_cut_stream_ends_without_its_last_event():
    """A cut looks like an end to who only iterates."""
    read = await answer(backend(Script(fault=Fault.CUT, at_token=2)), ask())
    assert read.text == "one two"
    assert not isinstance(read.events[-1], Finished)


@in_virtual_time
async def test_a_fault_behind_the_last_token_comes_before_the_last_event():
    """A script may break an answer of which only the end is missing."""
    read = await answer(backend(Script(fault=Fault.CUT, at_token=99)), ask())
    assert read.text == WORDS
    assert not isinstance(read.events[-1], Finished)


@in_virtual_time
async def test_a_stall_lasts_until_the_caller_leaves():
    """Nothing comes any more, and leaving closes the call."""
    played = backend(Script(fault=Fault.STALL, at_token=1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1000):
            await answer(played, ask())
    assert played.calls[0].tokens == 1
    assert played.running["m:latest"] == 0


@in_virtual_time
async def test_garbage_and_lies_reach_the_caller():
    """What is no event, and figures that cannot be, come through as they are."""
    garbage = await answer(backend(Script(fault=Fault.GARBAGE)), ask())
    assert garbage.events[-1] == "garbage"
    lie = await answer(backend(Script(fault=Fault.WRONG_USAGE)), ask())
    assert lie.end.usage.completion_tokens < 0
    assert math.isnan(lie.end.usage.completion_seconds)


@in_virtual_time
async def test_a_slow_close_holds_the_caller_and_the_place():
    """Leaving takes as long as the script says, and the call runs until then."""
    played = backend(Script(fault=Fault.SLOW_CLOSE, close_seconds=5.0))
    async with played.generate(ask()) as events:
        await WholeAnswer.read(events)
        left_at = asyncio.get_running_loop().time()
        assert played.running["m:latest"] == 1
    assert asyncio.get_running_loop().time() == left_at + 5.0
    assert played.running["m:latest"] == 0


@in_virtual_time
async def test_an_answer_is_continued_from_any_character():
    """What is begun and what comes are the answer, and the length bound counts what comes."""
    played = backend(Script(), continues=True, accent="~")
    whole = played.answer_to(ask())
    assert whole == "one~ two~ three~ four~ five~"
    for place in range(len(whole) + 1):
        assert whole[:place] + (await answer(played, ask(begun=whole[:place]))).text == whole
    assert (await answer(played, ask(begun="one~", max_tokens=2))).text == " two~ three~"
    with pytest.raises(InvalidRequestError, match="does not begin with 'two'"):
        await answer(played, ask(begun="two"))


@in_virtual_time
async def test_a_backend_that_cannot_continue_begins_again():
    """Without ``continues`` what is begun is not looked at."""
    assert (await answer(backend(Script()), ask(begun="one two"))).text == WORDS


@in_virtual_time
async def test_the_last_script_stays():
    """Scripts are followed in turn, and the last one goes on."""
    played = backend(Script(fault=Fault.CONNECT), Script())
    with pytest.raises(BackendError):
        await answer(played, ask())
    for _ in range(2):
        assert (await answer(played, ask())).text == WORDS


@in_virtual_time
async def test_calls_at_once_are_counted():
    """The most calls that were ever open at once are known."""
    played = backend(Script())
    async with asyncio.TaskGroup() as tasks:
        for _ in range(7):
            tasks.create_task(answer(played, ask()))
    assert played.most_running["m:latest"] == 7
    assert played.running["m:latest"] == 0


@in_virtual_time
async def test_embeddings_follow_scripts_too():
    """An embedding takes its time, fails on command, and counts as a call."""
    played = backend(Script(fault=Fault.BREAK), Script(first_token_seconds=1.0), Script(fault=Fault.CUT))
    request = EmbeddingRequest(id="r", model="m:latest", inputs=("a", "b"))
    with pytest.raises(BackendError):
        await played.embed(request)
    assert len((await played.embed(request)).vectors) == 2
    assert await played.embed(request) == "garbage"
    with pytest.raises(ModelNotFoundError):
        await played.embed(EmbeddingRequest(id="r", model="other", inputs=("a",)))
    assert [call.is_finished for call in played.calls] == [False, True, False]


def test_a_seed_draws_the_same_scripts():
    """Equal generators draw equal faults, about as many as asked for."""
    drawn, again = (
        list(itertools.islice(drawn_scripts(Random(7), fault_share=0.25), 2000)) for _ in range(2)
    )
    assert drawn == again
    assert 0.2 < sum(script.fault is not None for script in drawn) / 2000 < 0.3
    assert {script.fault for script in drawn} == {None, *Fault}


def test_a_run_in_virtual_time_is_the_same_each_time():
    """A whole run of disturbed calls has one course for each seed."""

    def course(seed):
        played = ScriptedBackend("a", {"m:latest": drawn_scripts(Random(seed), fault_share=0.5)})

        async def call(number):
            try:
                async with asyncio.timeout(20):
                    await answer(played, ask(f"{WORDS} {number}"))
            except Exception as error:  # noqa: BLE001 - all of them are noted
                return repr(error)
            return "good"

        async def run():
            async with asyncio.TaskGroup() as tasks:
                calls = [tasks.create_task(call(number)) for number in range(30)]
            return [task.result() for task in calls], [call.ended_at for call in played.calls]

        return run_virtual(run(), seed=seed)

    assert course(3) == course(3) != course(4)
