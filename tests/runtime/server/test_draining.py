"""An orderly stop, as clients see it."""

import asyncio
import json
import random

import aiohttp
import pytest

from homeport import Finished, FinishReason, PromptAccepted, TextDelta, Usage
from homeport.config.gateway_settings import GatewaySettings
from homeport.domain.overload import DrainingError
from homeport.gateway.admission.admission import Admission
from homeport.server.draining import Farewell, Readiness

BUSY = "server busy, please try again.  maximum pending requests exceeded"
BODY = {"model": "scripted:1b", "prompt": "x"}
ROUTES = ["/api/generate", "/v1/completions"]


class Slow:
    """A script that begins an answer, and ends it when it is told to."""

    def __init__(self):
        self.begun = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()

    async def __call__(self, request):
        yield PromptAccepted(1)
        yield TextDelta("be")
        self.begun.release()
        await self.go_on.wait()
        yield TextDelta("gun")
        yield Finished(FinishReason.STOP, Usage())


async def post(http, url, path="/api/generate", **fields):
    """Ask for an answer and read all of it."""
    async with http.post(f"{url}{path}", json=BODY | fields) as response:
        return response.status, response.headers, await response.text()


async def until_draining(http, url):
    """Ask for readiness until there is none; a stop begins in its own time."""
    while True:
        async with http.get(f"{url}/readyz") as response:
            if response.status == 503:
                assert (await response.json())["status"] == "draining"
                return


async def test_running_answers_are_finished(settings, serving):
    """A request that is being answered when the host stops gets its whole answer, streamed or not."""
    slow = Slow()
    async with (
        aiohttp.ClientSession() as http,
        asyncio.TaskGroup() as group,
        serving(settings, farewell=Farewell(grace_seconds=10)) as served,
    ):
        served.scripted.script = slow
        streamed = group.create_task(post(http, served.url))
        whole = group.create_task(post(http, served.url, stream=False))
        for _ in range(2):
            await slow.begun.acquire()
        asyncio.get_running_loop().call_later(0.05, slow.go_on.set)
    assert json.loads(whole.result()[2])["response"] == "begun"
    assert json.loads(streamed.result()[2].splitlines()[-1])["done"] is True


async def test_work_is_taken_for_a_while_and_then_turned_away(settings, serving):
    """Readiness ends at once; what others send until they know is served, and what comes later gets 503."""
    slow = Slow()
    farewell = Farewell(accept_seconds=0.5, grace_seconds=10)
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:

        async def visit(url):
            await until_draining(http, url)
            accepted = await post(http, url, model="echo", stream=False)
            while True:
                refused = await post(http, url, model="echo", stream=False)
                if refused[0] != 200:
                    break
            in_v1 = await post(http, url, "/v1/completions", model="echo")
            slow.go_on.set()
            return accepted, refused, in_v1

        async with serving(settings, farewell=farewell) as served:
            served.scripted.script = slow
            running = group.create_task(post(http, served.url, stream=False))
            await slow.begun.acquire()
            visitor = group.create_task(visit(served.url))
    accepted, refused, in_v1 = visitor.result()
    assert accepted[0] == 200
    assert (refused[0], refused[1]["Retry-After"], json.loads(refused[2])) == (503, "30", {"error": BUSY})
    error = json.loads(in_v1[2])["error"]
    assert (in_v1[0], error["type"], error["code"]) == (503, "unavailable_error", "draining")
    assert "x-should-retry" not in in_v1[1]
    assert running.result()[0] == 200


@pytest.mark.parametrize("path", ROUTES)
async def test_streams_that_do_not_end_in_time_say_so(settings, serving, path):
    """After the text come an error and the end, and no mark of a proper end."""
    slow = Slow()
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        async with serving(settings, farewell=Farewell(grace_seconds=0.1)) as served:
            served.scripted.script = slow
            streamed = group.create_task(post(http, served.url, path, stream=True))
            await slow.begun.acquire()
        assert served.scripted.left == 1
    status, _, text = streamed.result()
    assert status == 200
    assert "be" in text
    assert BUSY in text
    assert '"partial":true' in text
    assert "[DONE]" not in text
    assert '"done":true' not in text


@pytest.mark.parametrize("path", ROUTES)
async def test_whole_answers_that_do_not_end_in_time_are_refused(settings, serving, path):
    """What runs and what still waits for a place gets 503 with a time to come back."""
    slow = Slow()
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        async with serving(settings, farewell=Farewell(grace_seconds=0.1)) as served:
            served.scripted.script = slow
            asked = [group.create_task(post(http, served.url, path, stream=False)) for _ in range(4)]
            for _ in range(2):
                await slow.begun.acquire()
            for _ in range(1000):
                if served.runtime.gateway.admission.stats().current_size == 2:
                    break
                await asyncio.sleep(0.001)
        assert served.scripted.left == 2
    for each in asked:
        status, headers, text = each.result()
        assert (status, headers["Retry-After"]) == (503, "30")
        assert BUSY in text


async def test_idle_host_that_takes_no_more_work_stops_at_once(settings, serving):
    """Nobody waits for nothing."""
    async with asyncio.timeout(5):
        async with serving(settings, farewell=Farewell(grace_seconds=60)):
            pass


async def test_other_work_ends_with_an_error_too():
    """What admission does not know of, such as a pull, is told the same way."""
    readiness, begun = Readiness(), asyncio.Event()

    async def work():
        with readiness.answering(), readiness.until_cut():
            begun.set()
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await begun.wait()
    await readiness.drain(Admission(GatewaySettings(), chance=random.Random()), Farewell(grace_seconds=0.01))
    with pytest.raises(DrainingError, match="stopping"):
        await working
