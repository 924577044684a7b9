"""Health routes."""

import asyncio

import attrs

from homeport import Finished, FinishReason, PromptAccepted, Usage
from homeport.server.key_file import FILE_NAME, KeyFile
from homeport.server.scopes import Scope


async def test_healthz_says_that_the_process_lives(served):
    """Alive, since when, and in which version; figures are whole seconds."""
    status, answer = await served.json("GET", "/healthz")
    assert status == 200
    assert (answer["status"], answer["healthy"]) == ("ok", True)
    assert answer["version"].count(".") == 2
    assert type(answer["uptime_seconds"]) is int


async def test_readyz_says_that_work_is_welcome(served):
    """Both spellings answer alike."""
    status, answer = await served.json("GET", "/readyz")
    assert (status, answer["status"]) == (200, "ready")
    assert await served.json("GET", "/health") == (200, answer)


async def test_counts_and_times_are_for_those_who_watch(settings, serving):
    """Whoever has no key, or one for models, learns no more than that the host lives and takes work."""
    file = KeyFile(settings.home / FILE_NAME)
    infer, monitor = (file.create(scope.value, {scope}).secret for scope in (Scope.INFER, Scope.MONITOR))
    async with serving(settings) as served:
        body = {"model": "scripted:1b", "prompt": "hi", "stream": False}
        await served.json("POST", "/api/generate", body, headers={"x-api-key": infer})
        for key in (infer, "wrong", ""):
            headers = {"x-api-key": key}
            assert await served.json("GET", "/readyz", headers=headers) == (200, {"status": "ready"})
            assert "work" not in (await served.json("GET", "/healthz", headers=headers))[1]
        headers = {"x-api-key": monitor}
        _, health = await served.json("GET", "/healthz", headers=headers)
        assert (health["work"]["tasks_processed"], health["work"]["tasks_failed"]) == (1, 0)
        assert health["work"]["processing_times"]["p99"] > 0
        _, ready = await served.json("GET", "/readyz", headers=headers)
        assert ready["work"] == {"running": 0, "waiting": 0, "max_waiting": 16, "models": []}


async def test_a_full_queue_is_no_welcome(settings, serving):
    """Balancers send what comes next elsewhere while nobody more may wait."""
    gateway = attrs.evolve(settings.gateway, max_waiting=1)
    go_on = asyncio.Event()

    async def wait(request):
        yield PromptAccepted(1)
        await go_on.wait()
        yield Finished(FinishReason.STOP, Usage())

    async with serving(attrs.evolve(settings, gateway=gateway)) as served, asyncio.TaskGroup() as group:
        served.scripted.script = wait
        body = {"model": "scripted:1b", "prompt": "hi", "stream": False}
        for _ in range(8):
            group.create_task(served.json("POST", "/api/generate", body))
        async with asyncio.timeout(10):
            while (answer := await served.json("GET", "/readyz"))[0] == 200:
                pass
        assert (answer[0], answer[1]["status"]) == (503, "overloaded")
        async with served.http.get("/readyz") as response:
            assert response.headers["Retry-After"] == "1"
        go_on.set()


async def test_health_asks_no_backend(served):
    """A backend that cannot answer does not make the host sick."""

    async def broken():
        raise AssertionError

    served.scripted.models = broken
    assert (await served.json("GET", "/healthz"))[0] == 200
    assert (await served.json("GET", "/readyz"))[0] == 200
