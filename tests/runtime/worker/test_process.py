import asyncio
import os
import signal
import time

import psutil
import pytest

from homeport import (
    ConfigError,
    EmbeddingRequest,
    Finished,
    GenerationError,
    GenerationRequest,
    InvalidRequestError,
    LoadError,
    PluginError,
    PromptAccepted,
    Sampling,
    TextDelta,
    TextPrompt,
    WorkerDiedError,
)
from homeport.testing.tiny_model import checksum_answer
from homeport.worker.process import WorkerProcess


def ask(request_id, prompt, tokens=12):
    sampling = Sampling(temperature=0, max_tokens=tokens)
    return GenerationRequest(id=request_id, model="tiny", prompt=TextPrompt(prompt), sampling=sampling)


async def read(worker, request, seen=None):
    text = ""
    async with worker.generate(request) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                text += event.text
                if seen is not None:
                    seen.append(request.id)
    return text


async def test_worker_streams_the_answer_of_its_model(running):
    """Events cross the process border in order and whole."""
    async with running() as worker, worker.generate(ask("a", "hello")) as events:
        told = [event async for event in events]
    assert isinstance(told[0], PromptAccepted)
    assert isinstance(told[-1], Finished)
    assert "".join(e.text for e in told if isinstance(e, TextDelta)) == checksum_answer("hello", 12)


async def test_eight_clients_share_one_batch(running):
    """Requests that run together interleave and each gets its own answer."""
    seen = []
    prompts = {f"r{n}": f"prompt {n}" for n in range(8)}
    async with running(slots=8, step_seconds=0.01) as worker:
        requests = (ask(name, prompt, 30) for name, prompt in prompts.items())
        answers = await asyncio.gather(*(read(worker, request, seen) for request in requests))
    assert answers == [checksum_answer(prompt, 30) for prompt in prompts.values()]
    assert set(seen[80:160]) == set(prompts)


async def test_leaving_a_stream_frees_its_slot(running):
    """After a client left, the only slot serves the next one at once."""
    async with running(slots=1, step_seconds=0.01) as worker:
        async with worker.generate(ask("left", "hello", 400)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break
        started = time.monotonic()
        assert await read(worker, ask("next", "hi", 3)) == checksum_answer("hi", 3)
        assert time.monotonic() - started < 2  # all 400 tokens would take 4 s


async def test_leaving_before_the_prompt_is_sent_frees_the_slot(running):
    """A client that leaves while its prompt is on its way is not answered to nobody."""
    async with running(slots=1, step_seconds=0.05) as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        leaving = asyncio.create_task(read(worker, ask("left", "x" * 4_000_000, 400)))
        for _ in range(10):
            await asyncio.sleep(0)
        leaving.cancel()
        os.kill(worker.pid, signal.SIGCONT)
        with pytest.raises(asyncio.CancelledError):
            await leaving
        started = time.monotonic()
        assert await read(worker, ask("next", "hi", 3)) == checksum_answer("hi", 3)
        assert time.monotonic() - started < 3  # the rest of the window would take 6 s


async def test_killed_worker_ends_every_stream_with_an_error(running):
    """``kill -9`` mid-answer reaches the reader, and later requests too, as a typed error."""
    async with running(step_seconds=0.01) as worker:
        with pytest.raises(WorkerDiedError, match="tiny:latest ended"):
            async with worker.generate(ask("a", "hello", 400)) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        os.kill(worker.pid, signal.SIGKILL)
        assert await worker.end_words() == "signal 9, SIGKILL: most likely memory ran out"
        with pytest.raises(WorkerDiedError):
            await read(worker, ask("b", "hello"))


async def test_process_that_ends_itself_mid_step_is_noticed(running):
    """A hard exit inside forward is a dead worker, not a hang."""
    async with running(die_at_token=10) as worker:
        with pytest.raises(WorkerDiedError):
            await read(worker, ask("a", "hello", 50))


async def test_failed_step_is_an_error_and_the_worker_lives(running):
    """An exception in forward ends the request, not the process."""
    async with running(fail_at_token=10) as worker:
        with pytest.raises(GenerationError, match="forward pass failed"):
            await read(worker, ask("a", "hello", 50))
        assert await read(worker, ask("b", "hello", 2)) == checksum_answer("hello", 2)


async def test_two_running_requests_cannot_share_an_id(running):
    """Answers are told apart by the id of their request."""
    async with running(step_seconds=0.01) as worker, worker.generate(ask("a", "hello", 100)):
        with pytest.raises(InvalidRequestError, match="'a' is running already"):
            await read(worker, ask("a", "other"))


async def test_worker_embeds(running):
    """Vectors come back as floats, one per input."""
    async with running() as worker:
        request = EmbeddingRequest(id="e", model="tiny", inputs=("ab",), normalize=False)
        result = await worker.embed(request)
    assert result.vectors == ((2.0, 195.0, 97.0, 98.0),)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"factory": "homeport.testing.no_such:Model"}, PluginError, "cannot import"),
        ({"factory": "homeport.testing.tiny_model:NoSuchModel"}, PluginError, "cannot import"),
        ({"no_such_setting": 1}, ConfigError, "no_such_setting"),
    ],
)
async def test_model_that_cannot_be_built_is_a_load_error(launch, options, error, text):
    """What went wrong in the worker is told in the host."""
    with pytest.raises(error, match=text):
        await WorkerProcess.start(launch(**options))


async def test_folder_without_a_model_is_a_load_error(launch, tmp_path):
    """A missing file is named."""
    with pytest.raises(LoadError, match=r"config\.json"):
        await WorkerProcess.start(launch(path=tmp_path))


async def test_worker_that_is_not_ready_in_time_is_ended(launch):
    """A load has a bound, and leaves no process behind."""
    before = set(psutil.Process().children())
    with pytest.raises(LoadError, match="not loaded within 0 s"):
        await WorkerProcess.start(launch(load_timeout_seconds=0.01))
    assert set(psutil.Process().children()) <= before


async def test_worker_goes_when_its_host_closes(running):
    """Closing the channel ends the process without a kill."""
    async with running() as worker:
        process = psutil.Process(worker.pid)
    assert not process.is_running()


async def test_stopped_process_is_ended_and_its_requests_are_told(running):
    """A worker that was stopped, and so closes nothing, is killed when its time is over."""
    async with running(step_seconds=0.01, step_timeout_seconds=0.8) as worker:
        started = time.monotonic()
        with pytest.raises(WorkerDiedError, match="did not move any more"):
            async with worker.generate(ask("a", "hello", 400)) as events:
                await anext(events)
                os.kill(worker.pid, signal.SIGSTOP)
                async for _ in events:
                    pass
        assert time.monotonic() - started < 5


async def test_stopped_process_is_ended_while_nobody_asks(running):
    """The next request need not find out."""
    async with running(step_timeout_seconds=0.4) as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        async with asyncio.timeout(5):
            await worker.ended.wait()


async def test_step_without_end_is_noticed_after_the_first(running):
    """A worker that beats but computes one step for too long is killed, once it has done a step before."""
    async with running(step_seconds=1.5, step_timeout_seconds=0.6, load_timeout_seconds=60) as worker:
        with pytest.raises(WorkerDiedError, match="did not move any more"):
            await read(worker, ask("a", "hello", 40))


async def test_first_step_may_take_as_long_as_a_load(running):
    """What came before it, such as reading the request, is no step."""
    async with running(step_seconds=1.2, step_timeout_seconds=0.4, load_timeout_seconds=60) as worker:
        assert await read(worker, ask("a", "hello", 1)) == checksum_answer("hello", 1)


async def test_worker_that_sends_what_is_no_message_is_ended(running):
    """Its requests are told, and whoever listens to it learns of its end as of any other."""
    async with running(lie_at_token=10) as worker:
        with pytest.raises(WorkerDiedError):
            await read(worker, ask("a", "hello", 50))
        with pytest.raises(WorkerDiedError):
            await read(worker, ask("b", "hello"))


async def test_stopped_process_with_unread_messages_is_closed_in_time(running):
    """What it will never read is not waited for."""
    async with running(slots=1) as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        asking = asyncio.create_task(read(worker, ask("a", "x" * 4_000_000)))
        for _ in range(10):
            await asyncio.sleep(0)
        started = time.monotonic()
        await worker.close()
        assert time.monotonic() - started < 5
        with pytest.raises(WorkerDiedError):
            await asking


async def test_worker_tells_what_it_holds(running):
    """Beats bring the peak of its memory and the tokens in its cache."""
    async with running(step_timeout_seconds=0.4) as worker:
        await read(worker, ask("a", "hello" * 20, 4))
        async with asyncio.timeout(5):
            while worker.pulse.cached_tokens < 100:  # noqa: ASYNC110 - a beat tells nobody
                await asyncio.sleep(0.01)
        assert worker.pulse.peak_bytes >= psutil.Process(worker.pid).memory_info().rss * 0.9
