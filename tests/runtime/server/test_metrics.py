import asyncio
import os
import re

import attrs
import pytest
from prometheus_client.parser import text_string_to_metric_families

from homeport import (
    BreakerChanged,
    BreakerState,
    ModelLoaded,
    ModelLoadFailed,
    ModelUnloaded,
    Priority,
    RequestEnded,
    RequestFinished,
    RequestRejected,
    Usage,
)
from homeport.config.gateway_settings import RouteSettings
from homeport.config.settings import ServerSettings
from homeport.server.metrics import CONTENT_TYPE, Metrics

NAMES = {
    "requests",
    "request_seconds",
    "first_token_seconds",
    "inter_token_seconds",
    "queue_depth",
    "queue_wait_seconds",
    "prompt_tokens",
    "generated_tokens",
    "model_loads",
    "model_load_seconds",
    "model_resident_bytes",
    "evictions",
    "rejections",
    "attempts",
    "breaker_open",
    "cancelled",
}


async def series(served, **options):
    """Read all series: name and labels to value."""
    async with served.http.get("/metrics", **options) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == CONTENT_TYPE
        text = await response.text()
    return {
        (sample.name.removeprefix("homeport_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ended(model="scripted:1b", **fields) -> RequestEnded:
    values = {
        "request_id": "r",
        "asked": "anything",
        "backend": "scripted",
        "model": model,
        "status": "ok",
        "attempts": 1,
        "queue_seconds": 0.5,
        "first_token_seconds": 1.0,
        "seconds": 3.0,
        "usage": Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=4),
        "priority": Priority.NORMAL,
    }
    return RequestEnded(**{**values, **fields})


async def test_every_promised_name_is_there(served):
    """The names that dashboards are built on exist from the first look on, with a line of help each."""
    async with served.http.get("/metrics") as response:
        text = await response.text()
    told = {
        name.removesuffix("_total") for name in re.findall(r"^# TYPE homeport_(\w+) ", text, re.MULTILINE)
    }
    assert told >= NAMES
    assert "_created" not in text


async def test_a_request_is_counted_under_its_route_and_its_model(served):
    """What came over HTTP, what it waited, how many tokens it had: all without the words of the client."""
    body = {"model": "scripted:1b", "prompt": "x", "stream": False}
    await served.json("POST", "/api/generate", body)
    await served.json("POST", "/v1/completions", {**body, "model": "who-is-that"})
    found = await series(served)
    routes = {
        (labels["dialect"], labels["route"], labels["status"]): value
        for (name, pairs), value in found.items()
        if name == "requests_total" and (labels := dict(pairs))
    }
    assert routes["ollama", "/api/generate", "200"] == 1
    assert routes["openai", "/v1/completions", "404"] == 1
    model = (("model", "scripted:1b"),)
    assert found["generated_tokens_total", model] == 2
    assert found["prompt_tokens_total", (("cached", "false"), *model)] == 3
    assert found["first_token_seconds_count", model] == 1
    assert found["attempts_total", (("backend", "scripted"), ("outcome", "ok"))] == 1
    assert not any("who-is-that" in str(key) for key in found)


async def test_events_become_counts_and_times(served):
    """Each kind of event has its series."""
    emit = served.runtime.events.emit
    emit(ended())
    emit(ended(status="cancelled", first_token_seconds=None, usage=None))
    emit(ended(status="cancelled", attempts=0, backend="", model="", first_token_seconds=None, usage=None))
    emit(ended(status="cancelled", priority=Priority.LOW))
    emit(RequestRejected(reason="overloaded", priority=Priority.LOW))
    emit(RequestFinished(request_id="r", model="m", backend="scripted", seconds=1, error_code="backend"))
    emit(ModelLoaded(model="scripted:1b", backend="b", seconds=2.0))
    emit(ModelLoadFailed(model="scripted:1b", backend="b"))
    emit(ModelUnloaded(model="scripted:1b", backend="b", reason="expired"))
    emit(BreakerChanged(backend="b", model="m", state=BreakerState.OPEN, reason="x"))
    found = await series(served)
    model = (("model", "scripted:1b"),)
    assert found["inter_token_seconds_sum", model] == pytest.approx(2 * 0.5)
    assert found["prompt_tokens_total", (("cached", "true"), *model)] == 8
    assert found["queue_wait_seconds_count", (("class", "low"),)] == 1
    assert found["cancelled_total", (("stage", "queue"),)] == 1
    assert found["cancelled_total", (("stage", "first_token"),)] == 1
    assert found["cancelled_total", (("stage", "stream"),)] == 1
    assert found["rejections_total", (("reason", "overloaded"),)] == 1
    assert found["attempts_total", (("backend", "scripted"), ("outcome", "backend"))] == 1
    assert found["model_loads_total", (*model, ("result", "ok"))] == 1
    assert found["model_loads_total", (*model, ("result", "failed"))] == 1
    assert found["model_load_seconds_sum", model] == 2.0
    assert found["evictions_total", (("reason", "expired"),)] == 1


async def test_gauges_tell_what_is_now(served):
    """Queue, processes and memory are looked at when they are asked for."""
    found = await series(served)
    assert {dict(pairs)["class"] for name, pairs in found if name == "queue_depth"} == {
        "critical",
        "high",
        "normal",
        "low",
        "background",
    }
    assert found["requests_in_flight", ()] == 0
    host = (("model", ""), ("role", "host"))
    assert found["process_resident_bytes", host] > 10_000_000
    assert found["process_cpu_seconds", host] > 0
    assert (
        found["memory_bytes", (("state", "total"),)] >= found["memory_bytes", (("state", "available"),)] > 0
    )
    assert found["memory_pressure_percent", ()] >= 0


async def test_an_open_breaker_is_shown(served):
    """Its backend has one model less that is called."""
    body = {"backend": "scripted", "model": "scripted:1b", "action": "open"}
    assert (await served.json("POST", "/v1/breakers", body))[0] == 200
    assert (await series(served))["breaker_open", (("backend", "scripted"),)] == 1
    await served.json("POST", "/v1/breakers", {**body, "action": "reset"})
    assert (await series(served))["breaker_open", (("backend", "scripted"),)] == 0


async def test_series_are_bounded_whatever_is_offered(served):
    """Thousands of models and backends of hostile servers leave fewer than 5,000 series."""
    emit = served.runtime.events.emit
    for number in range(3000):
        emit(ended(model=f"m{number}:latest"))
        emit(ModelLoaded(model=f"m{number}:latest", backend="b", seconds=1))
        emit(ModelLoadFailed(model=f"m{number}:latest", backend="b"))
        for code in range(3):
            emit(
                RequestFinished(
                    request_id="r", model="m", backend=f"b{number}", seconds=1, error_code=f"{number}{code}"
                )
            )
        emit(RequestRejected(reason=f"r{number}", priority=Priority.LOW))
    for number in range(300):
        await served.http.get(f"/nowhere/{number}")
    found = await series(served)
    assert len(found) < 5000
    assert found["generated_tokens_total", (("model", "unknown"),)] > 5 * 2900
    assert found["requests_total", (("dialect", "unknown"), ("route", "unknown"), ("status", "404"))] == 300


async def test_each_application_counts_for_itself(served):
    """Two of them in one process do not share a figure."""
    other = Metrics(served.runtime)
    other.observe(ended(model="other:latest"))
    assert b"other:latest" in await other.text()
    assert not any("other:latest" in str(key) for key in await series(served))


async def test_metrics_need_a_key_where_there_is_one(serving, settings):
    """Figures tell about others, so they are not public."""
    closed = attrs.evolve(settings, server=ServerSettings(api_key="k"))
    async with serving(closed) as served:
        async with served.http.get("/metrics") as response:
            assert response.status == 401
        assert await series(served, headers={"Authorization": "Bearer k"})


async def test_a_listener_that_fails_fails_no_request(served):
    """What counts is beside the way of requests."""

    def fail(event):
        raise RuntimeError(event)

    with served.runtime.events.listen(fail):
        status, _ = await served.json(
            "POST", "/api/generate", {"model": "echo", "prompt": "x", "stream": False}
        )
    assert status == 200


async def test_stats_tell_queue_breakers_pools_and_processes(served):
    """One answer holds what a dashboard shows, under the names that older ones know."""
    await served.json("POST", "/api/generate", {"model": "scripted:1b", "prompt": "x", "stream": False})
    status, found = await served.json("GET", "/v1/stats")
    assert status == 200
    queue = found["queue"]
    assert (queue["completed"], queue["current_size"], queue["success_rate"]) == (1, 0, 1.0)
    assert set(queue) >= {"max_size", "active", "failed", "timed_out", "cancelled", "throughput"}
    assert queue["depths"] == {"critical": 0, "high": 0, "normal": 0, "low": 0, "background": 0}
    assert queue["targets"]["scripted/scripted:1b"]["in_flight"] == 0
    (breaker,) = found["breakers"]
    assert (breaker["name"], breaker["state"]) == ("scripted/scripted:1b", "closed")
    assert (breaker["total_requests"], breaker["trip_count"]) == (1, 0)
    (host,) = found["process"]["processes"]
    assert (host["pid"], host["model"]) == (os.getpid(), "")
    assert found["process"]["strain"] == "none"
    assert found["models"] == []


async def test_stats_tell_what_came_of_shadow_copies(serving, settings):
    """A model that is compared is seen to answer, though nobody gets its answers."""
    routes = {"tried": RouteSettings(models=("echo",), shadow="scripted:1b", shadow_share=1.0)}
    async with serving(attrs.evolve(settings, routes=routes)) as served:
        body = {"model": "tried", "prompt": "x", "stream": False}
        _, answer = await served.json("POST", "/api/generate", body)
        async with asyncio.timeout(10):
            while not (found := (await served.json("GET", "/v1/stats"))[1]["shadows"]):
                pass  # each look is a request, which lets the copy go on
    assert answer["response"] == "x"
    assert found == {"scripted/scripted:1b": {"finished": 1, "failed": 0, "left_out": 0}}


async def test_pools_tell_what_they_count(served):
    """Figures of a backend are passed on; what cannot be written is made text, what fails is left out."""

    class Odd:
        def __str__(self) -> str:
            return "odd"

    served.scripted.stats = lambda: {"hit_rate": 0.5, "odd": Odd(), "nothing": float("nan")}
    _, found = await served.json("GET", "/v1/stats")
    assert found["pools"]["scripted"] == {"hit_rate": 0.5, "odd": "odd", "nothing": None}
    served.scripted.stats = lambda: 1 / 0
    _, found = await served.json("GET", "/v1/stats")
    assert found["pools"] == {}


async def test_looking_costs_little(served):
    """Many looks at once are answered; none of them blocks the loop."""
    answers = await asyncio.gather(*(series(served) for _ in range(20)))
    assert len(answers) == 20
