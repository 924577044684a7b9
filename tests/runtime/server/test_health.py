"""Health routes."""


async def test_healthz_says_that_the_process_lives(served):
    """Alive, since when, and in which version; figures are whole seconds."""
    status, answer = await served.json("GET", "/healthz")
    assert status == 200
    assert (answer["status"], answer["healthy"]) == ("ok", True)
    assert answer["version"].count(".") == 2
    assert type(answer["uptime_seconds"]) is int


async def test_readyz_says_that_work_is_welcome(served):
    """Both spellings answer alike."""
    assert await served.json("GET", "/readyz") == (200, {"status": "ready"})
    assert await served.json("GET", "/health") == (200, {"status": "ready"})


async def test_health_asks_no_backend(served):
    """A backend that cannot answer does not make the host sick."""

    async def broken():
        raise AssertionError

    served.scripted.models = broken
    assert (await served.json("GET", "/healthz"))[0] == 200
    assert (await served.json("GET", "/readyz"))[0] == 200
