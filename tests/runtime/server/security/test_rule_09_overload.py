"""Rule 9: more work than there are hands is refused at once, with a word on when to come again.

The pause after a load that failed is tested with the models that are loaded: ``tests/runtime/models``; the
orderly stop in ``tests/runtime/server/test_draining.py``.
"""

import asyncio
import time

import attrs
import pytest

from homeport import Finished, FinishReason, PromptAccepted, TextDelta, Usage
from homeport.server.key_file import FILE_NAME, KeyFile
from homeport.server.scopes import Scope

BODIES = {
    "/api/generate": {"model": "scripted:1b", "prompt": "hi", "stream": False},
    "/v1/chat/completions": {"model": "scripted:1b", "messages": [{"role": "user", "content": "hi"}]},
    "/v1/messages": {
        "model": "scripted:1b",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 5,
    },
}
CROWD = 60
REFUSAL_SECONDS = 0.05
"""Of computing, the client's share with it; what the clock says depends on who else computes."""


class Held:
    """A script that answers when it is let go."""

    def __init__(self):
        self.go_on = asyncio.Event()
        self.begun = asyncio.Semaphore(0)

    async def __call__(self, request):
        yield PromptAccepted(1)
        self.begun.release()
        await self.go_on.wait()
        yield TextDelta("done")
        yield Finished(FinishReason.STOP, Usage())


async def ask(served, path, **headers):
    """Give status, headers and text."""
    async with served.http.post(path, json=BODIES[path], headers=headers) as response:
        return response.status, response.headers, await response.text()


@pytest.mark.parametrize("path", BODIES)
async def test_a_crowd_is_turned_away_at_once(settings, serving, path):
    """Whoever finds the queue full learns it immediately; whoever waits is answered; nobody hangs."""
    gateway = attrs.evolve(settings.gateway, max_waiting=4)
    async with serving(attrs.evolve(settings, gateway=gateway)) as served:
        held = served.scripted.script = Held()
        tasks = []
        async with asyncio.TaskGroup() as group:
            computed = time.process_time()
            tasks = [group.create_task(ask(served, path)) for _ in range(CROWD)]
            refused, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            async with asyncio.timeout(20):
                while sum(task.done() for task in tasks) < CROWD - 12:
                    await asyncio.wait([task for task in tasks if not task.done()], timeout=0.05)
            computed = time.process_time() - computed
            held.go_on.set()
        answers = [task.result() for task in tasks]
        turned_away = [each for each in answers if each[0] == 503]
        assert len(turned_away) >= CROWD - 12
        assert {each[0] for each in answers} == {200, 503}
        assert all(1 <= int(headers["Retry-After"]) <= 120 for _, headers, _ in turned_away)
        assert computed / len(turned_away) < REFUSAL_SECONDS
        assert refused


@pytest.mark.parametrize("path", BODIES)
async def test_one_key_does_not_take_all_places(settings, serving, path):
    """Limits count for each key: the greedy one gets 429, and another is served."""
    file = KeyFile(settings.home / FILE_NAME)
    greedy, modest = (file.create(name, {Scope.INFER}).secret for name in ("greedy", "modest"))
    gateway = attrs.evolve(settings.gateway, max_running_per_key=1)
    async with serving(attrs.evolve(settings, gateway=gateway)) as served:
        held = served.scripted.script = Held()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(ask(served, path, **{"x-api-key": greedy}))
            await held.begun.acquire()
            status, headers, _ = await ask(served, path, **{"x-api-key": greedy})
            assert (status, int(headers["Retry-After"]) >= 1) == (429, True)
            other = group.create_task(ask(served, path, **{"x-api-key": modest}))
            await held.begun.acquire()
            held.go_on.set()
        assert (first.result()[0], other.result()[0]) == (200, 200)
