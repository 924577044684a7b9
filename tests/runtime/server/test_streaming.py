"""Streams: pings, errors within them, and clients that leave."""

import asyncio
import json

import aiohttp
import attrs
import pytest
from loguru import logger

from homeport import (
    BackendError,
    Finished,
    FinishReason,
    GenerationError,
    LoadError,
    PluginError,
    PromptAccepted,
    StoreError,
    TextDelta,
    Usage,
    WorkerDiedError,
)
from homeport.config.settings import GatewaySettings

FAILED = "an error was encountered while running the model"
BUSY = "server busy, please try again.  maximum pending requests exceeded"
ROUTES = [
    ("/api/generate", {"prompt": "{}"}),
    ("/api/chat", {"messages": [{"role": "user", "content": "{}"}]}),
    ("/v1/completions", {"prompt": "{}"}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "{}"}]}),
]
ALL_ROUTES = [
    *ROUTES,
    ("/v1/responses", {"input": "{}"}),
    ("/v1/messages", {"messages": [{"role": "user", "content": "{}"}], "max_tokens": 50}),
]
"""Those with named events too, which have tests of their own for what is peculiar to them."""


def _body(fields: dict, prompt: str, **more: object) -> dict:
    """Put a prompt into the fields of a route."""
    return json.loads(json.dumps(fields).replace("{}", prompt)) | more


def _message(path: str, answer: dict) -> str:
    return answer["error"]["message"] if path.startswith("/v1") else answer["error"]


class Gates:
    """A script that tells how far it is, and waits to be let on."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def script(self, *first: TextDelta):
        async def play(_):
            yield PromptAccepted(1)
            for delta in first:
                yield delta
            self.begun.set()
            try:
                await self.go_on.wait()
            finally:
                self.ended.set()
            yield TextDelta("x")
            yield Finished(FinishReason.STOP, Usage())

        return play


def _raising(error: Exception, *first: TextDelta):
    async def play(_):
        yield PromptAccepted(1)
        for delta in first:
            yield delta
        raise error

    return play


@pytest.mark.parametrize(("path", "fields"), ROUTES[:2])
async def test_a_failure_within_ndjson_is_its_last_line(served, path, fields):
    """The text so far, then an error without done true; no line is blank."""
    async with served.http.post(path, json=_body(fields, "one two !fail three", model="echo")) as response:
        assert response.status == 200
        raw = await response.text()
    assert "\n\n" not in raw
    *lines, last = [json.loads(line) for line in raw.splitlines()]
    assert len(lines) == 2
    assert last == {"error": FAILED, "partial": True, "prompt_eval_count": 4, "eval_count": 2}
    assert not any(line["done"] or "error" in line for line in lines)


@pytest.mark.parametrize(("path", "fields"), ROUTES[2:])
async def test_a_failure_within_sse_is_its_last_event(served, path, fields):
    """The text so far, then an error object, and never [DONE]."""
    body = _body(fields, "one two !fail three", model="echo", stream=True)
    async with served.http.post(path, json=body) as response:
        assert response.status == 200
        raw = await response.text()
    last = raw.removesuffix("\n\n").split("\n\n")[-1]
    error = json.loads(last.removeprefix("data: "))["error"]
    usage = error.pop("usage")
    assert error == {"message": FAILED, "type": "api_error", "param": None, "code": None, "partial": True}
    assert usage["completion_tokens"] == 2
    assert "[DONE]" not in raw
    assert " two" in raw


FAILURES = {
    "generation": (GenerationError("secret"), 500, FAILED, None),
    "load": (LoadError("/secret/path"), 500, "the model could not be loaded", "false"),
    "backend": (BackendError("http://10.0.0.1 secret"), 502, "remote model is unavailable", None),
    "unforeseen": (RuntimeError("secret"), 500, "internal server error", "false"),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("path", "fields"), ALL_ROUTES)
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_before_the_first_text_keeps_its_status(served, path, fields, stream, failure):
    """Streamed or not, the status tells what failed; the cause is in the log only, under the request id."""
    error, status, text, retry = FAILURES[failure]
    served.scripted.script = _raising(error)
    seen: list[str] = []
    sink = logger.add(seen.append, level="ERROR")
    body = _body(fields, "x", model="scripted:1b", stream=stream)
    async with served.http.post(path, json=body, headers={"x-request-id": "trace-me"}) as response:
        assert (response.status, response.content_type) == (status, "application/json")
        assert response.headers.get("x-should-retry") == retry
        raw = await response.text()
    logger.remove(sink)
    assert _message(path, json.loads(raw)) == text
    assert "secret" not in raw
    assert any("trace-me" in line and "secret" in line for line in seen)


def _caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            _caused(LoadError("a cannot be built: out of room", hint="make room"), StoreError("out of room")),
            "failed: LoadError: 'a cannot be built: out of room. make room'",
        ),
        (
            _caused(BackendError("no answer"), _caused(LoadError("no answer"), OSError("cable\nloose"))),
            "failed: BackendError: 'no answer', caused by OSError: 'cable\\nloose'",
        ),
    ],
)
async def test_an_error_raised_on_purpose_is_one_line_of_the_log(served, error, told):
    """Its causes stand behind it, none of them twice, and no traceback."""
    served.scripted.script = _raising(error)
    lines: list[str] = []
    sink = logger.add(lines.append, level="ERROR", format="{message}")
    await served.json("POST", "/api/generate", {"model": "scripted:1b", "prompt": "x", "stream": False})
    logger.remove(sink)
    (line,) = [line for line in lines if line.startswith("request ")]
    assert line.endswith(f"{told}\n")
    assert len(line.splitlines()) == 1


async def test_the_unexpected_has_a_traceback_in_the_log(served):
    """Also where a plugin's mistake is told as an error of ours."""
    lines: list[str] = []
    sink = logger.add(lines.append, level="ERROR", format="{message}")
    for error in (RuntimeError("odd"), _caused(PluginError("validator failed"), KeyError("odd"))):
        served.scripted.script = _raising(error)
        await served.json("POST", "/api/generate", {"model": "scripted:1b", "prompt": "x", "stream": False})
    logger.remove(sink)
    failed = [line for line in lines if line.startswith("request ")]
    assert len(failed) == 2
    assert "RuntimeError: odd\n" in failed[0]
    assert "KeyError: 'odd'\n" in failed[1]


@pytest.mark.parametrize(("path", "fields"), ALL_ROUTES)
async def test_a_damaged_model_is_refused_with_the_way_to_mend_it(served, path, fields):
    """The client is told what to run, and nothing of where the model lies; other hints stay in the log."""
    served.scripted.script = _raising(StoreError("/secret/file differs", hint="homeport pull x --force"))
    _, answer = await served.json("POST", path, _body(fields, "x", model="scripted:1b"))
    detail = answer["error"] if path.startswith("/v1") else answer
    assert detail["hint"] == "homeport pull x --force"
    assert "secret" not in str(answer)
    served.scripted.script = _raising(LoadError("broken", hint="see /secret/log"))
    _, answer = await served.json("POST", path, _body(fields, "x", model="scripted:1b"))
    detail = answer["error"] if path.startswith("/v1") else answer
    assert "homeport doctor" in detail["hint"]
    assert "secret" not in str(answer)


@pytest.mark.parametrize(("path", "fields"), ALL_ROUTES)
async def test_after_the_end_of_a_worker_clients_are_told_to_ask_again(served, path, fields):
    """The next request finds a new one."""
    served.scripted.script = _raising(WorkerDiedError("signal 9", hint="Ask again: a new worker is started"))
    _, answer = await served.json("POST", path, _body(fields, "x", model="scripted:1b"))
    detail = answer["error"] if path.startswith("/v1") else answer
    assert detail["hint"] == "Ask again: a new worker is started"
    assert "signal" not in str(answer)


@pytest.mark.parametrize(("path", "fields"), ALL_ROUTES)
async def test_an_unforeseen_failure_within_a_stream_is_opaque(served, path, fields):
    """No class name, path or text of ours reaches the client."""
    served.scripted.script = _raising(RuntimeError("secret"), TextDelta("a"))
    body = _body(fields, "x", model="scripted:1b", stream=True)
    async with served.http.post(path, json=body) as response:
        raw = await response.text()
    assert "internal server error" in raw
    assert "secret" not in raw
    assert "RuntimeError" not in raw


@pytest.mark.parametrize(("path", "fields"), ROUTES[2:])
async def test_a_long_silence_is_broken_by_comments(settings, serving, path, fields):
    """SSE streams send : ping before and between texts, and end as always."""
    gates = Gates()
    async with serving(settings, ping_seconds=0.01) as served:
        served.scripted.script = gates.script()
        body = _body(fields, "x", model="scripted:1b", stream=True)
        async with served.http.post(path, json=body) as response:
            assert response.status == 200
            assert await response.content.readuntil(b"\n\n") == b": ping\n\n"
            gates.go_on.set()
            rest = await response.text()
    assert rest.endswith("data: [DONE]\n\n")
    assert '"x"' in rest


async def test_after_a_ping_an_error_stands_in_the_stream(settings, serving):
    """The comment has committed the status, so the error is an event."""
    failing = asyncio.Event()

    async def script(_):
        yield PromptAccepted(1)
        await failing.wait()
        raise LoadError("broken")

    async with serving(settings, ping_seconds=0.01) as served:
        served.scripted.script = script
        body = {"model": "scripted:1b", "prompt": "x", "stream": True}
        async with served.http.post("/v1/completions", json=body) as response:
            assert await response.content.readuntil(b"\n\n") == b": ping\n\n"
            failing.set()
            rest = await response.text()
    assert "the model could not be loaded" in rest
    assert "[DONE]" not in rest


async def test_ndjson_has_no_pings(settings, serving):
    """Clients parse every line, so silence stays silent."""
    gates = Gates()
    async with serving(settings, ping_seconds=0.001) as served:
        served.scripted.script = gates.script(TextDelta("a"))
        async with served.http.post(
            "/api/generate", json={"model": "scripted:1b", "prompt": "x"}
        ) as response:
            first = await response.content.readline()
            asyncio.get_running_loop().call_later(0.05, gates.go_on.set)
            rest = await response.text()
    assert json.loads(first)["response"] == "a"
    assert [json.loads(line)["done"] for line in rest.splitlines()] == [False, True]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("path", "fields"), ALL_ROUTES)
@pytest.mark.parametrize("texts", [0, 1])
async def test_a_client_that_leaves_frees_its_generation(served, path, fields, stream, texts):
    """Before the first text and after it, streamed or not, the backend is left at once."""
    gates = Gates()
    served.scripted.script = gates.script(*[TextDelta("a")] * texts)
    body = _body(fields, "x", model="scripted:1b", stream=stream)
    async with aiohttp.ClientSession(served.url) as http:
        request = asyncio.create_task(http.post(path, json=body))
        await gates.begun.wait()
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
    async with asyncio.timeout(1):
        await gates.ended.wait()
    assert served.scripted.left == 1


@pytest.mark.parametrize("path", ["/api/generate", "/v1/completions"])
async def test_a_client_that_breaks_off_a_busy_stream_is_no_error(served, caplog, path):
    """Reset in the middle of a flood, the generation ends and nothing is logged as a failure."""
    ended = asyncio.Event()

    async def flood(_):
        yield PromptAccepted(1)
        try:
            while True:
                yield TextDelta("x" * 100_000)
        finally:
            ended.set()

    served.scripted.script = flood
    seen: list[str] = []
    sink = logger.add(seen.append, level="WARNING")
    body = b'{"model": "scripted:1b", "prompt": "x", "stream": true}'
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
    writer.write(head + body)
    await reader.readexactly(1000)
    writer.transport.abort()
    async with asyncio.timeout(1):
        await ended.wait()
    logger.remove(sink)
    assert seen == []
    assert caplog.records == []


async def test_a_slow_reader_holds_its_generation_back(served):
    """What a client does not read is not generated without bound."""
    made = 0

    async def flood(_):
        nonlocal made
        yield PromptAccepted(1)
        while True:
            made += 1
            yield TextDelta("x" * 100_000)

    served.scripted.script = flood
    async with served.http.post("/api/generate", json={"model": "scripted:1b", "prompt": "x"}) as response:
        await response.content.readexactly(1000)
        before = -1
        while made != before:
            before = made
            for _ in range(100):
                await asyncio.sleep(0)
        assert made < 500
        response.close()


async def test_http_1_0_gets_a_stream_without_chunks(served):
    """Old clients read to the end of the connection."""
    body = b'{"model": "echo", "prompt": "a b"}'
    head = b"POST /api/generate HTTP/1.0\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
    writer.write(head + body)
    _, _, raw = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert [json.loads(line)["response"] for line in raw.splitlines()] == ["a", " b", ""]


async def test_a_failing_choice_ends_its_neighbours(served):
    """When one of several choices fails the others are cancelled."""
    gates = Gates()
    waiting = gates.script()
    turns = [_raising(GenerationError("x")), waiting]

    def script(request):
        return turns.pop()(request)

    served.scripted.script = script
    body = {"model": "scripted:1b", "prompt": "x", "n": 2}
    status, _ = await served.json("POST", "/v1/completions", body)
    assert status == 500
    assert gates.ended.is_set()
    assert served.scripted.left == 2


@pytest.mark.parametrize("stream", [True, False])
async def test_a_full_house_turns_requests_away(settings, serving, stream):
    """503 with Ollama's text and a time to come back, in each dialect's shape, streamed or not."""
    gates = Gates()
    given = GatewaySettings(max_waiting=1, max_running=1)
    async with serving(attrs.evolve(settings, gateway=given)) as served:
        served.scripted.script = gates.script()
        body = {"model": "scripted:1b", "prompt": "x", "stream": stream}
        async with asyncio.TaskGroup() as group:
            whole = body | {"stream": False}
            running = group.create_task(served.json("POST", "/api/generate", whole))
            await gates.begun.wait()
            waiting = group.create_task(served.json("POST", "/api/generate", whole))
            for _ in range(1000):
                if served.runtime.gateway.admission.stats().current_size:
                    break
                await asyncio.sleep(0.001)
            async with served.http.post("/api/generate", json=body) as response:
                assert (response.status, await response.json()) == (503, {"error": BUSY})
                assert 1 <= int(response.headers["Retry-After"]) <= 120
            async with served.http.post("/v1/completions", json=body) as response:
                error = (await response.json())["error"]
                assert (response.status, error["type"], error["code"]) == (
                    503,
                    "unavailable_error",
                    "server_busy",
                )
                assert error["message"] == BUSY
                assert "x-should-retry" not in response.headers
            gates.go_on.set()
        assert (running.result()[0], waiting.result()[0]) == (200, 200)


async def test_requests_after_failures_and_departures_are_served(served):
    """Nothing of an ended request stays behind."""
    for script in (_raising(RuntimeError("x")), _raising(GenerationError("x"), TextDelta("a"))):
        served.scripted.script = script
        for _ in range(20):
            async with served.http.post(
                "/api/generate", json={"model": "scripted:1b", "prompt": "x"}
            ) as response:
                await response.read()
    status, answer = await served.json(
        "POST", "/api/generate", {"model": "echo", "prompt": "a", "stream": False}
    )
    assert (status, answer["response"]) == (200, "a")
