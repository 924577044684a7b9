"""Rule 8: everything that a request brings or asks for is bounded."""

import asyncio
import time

import aiohttp
import attrs
import pytest

from homeport import InvalidRequestError
from homeport.server.function_tools import read_function_tools
from homeport.server.limits import MAX_INTEGER, MAX_SEED
from homeport.server.schemas.tools import OfferedFunction, OfferedTool


@pytest.fixture
def settings(settings):
    """As many may wait as one request may ask for."""
    gateway = attrs.evolve(settings.gateway, max_waiting=128)
    return attrs.evolve(settings, gateway=gateway)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 10_000_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n{}{}",
        b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"\x16\x03\x01 not http at all\r\n\r\n",
    ],
    ids=["header", "path", "te-cl", "cl-cl", "negative", "tls"],
)
async def test_malformed_http_is_refused(served, request_bytes, send_raw):
    """Giant headers and smuggled lengths end in a 400, and the server lives on."""
    try:
        answer = await send_raw(served, request_bytes)
    except ConnectionError:
        answer = b""
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    async with aiohttp.ClientSession(served.url) as http, http.get("/") as response:
        assert response.status == 200


GENERATE = ("/api/generate", {"model": "scripted:1b", "prompt": "x", "stream": False})
CHAT = ("/v1/chat/completions", {"model": "scripted:1b", "messages": [{"role": "user", "content": "x"}]})
TEXT = ("/v1/completions", {"model": "scripted:1b", "prompt": "x"})
EMBED = ("/api/embed", {"model": "vectors", "input": "x"})


def _nested_schema(depth):
    schema = {"type": "string"}
    for _ in range(depth - 1):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("route", "field", "allowed", "refused"),
    [
        (CHAT, "n", 8, 9),
        (CHAT, "n", 1, 0),
        (CHAT, "top_logprobs", 20, 21),
        (TEXT, "logprobs", 5, 6),
        (TEXT, "prompt", ["x"] * 64, ["x"] * 65),
        (CHAT, "stop", ["x"] * 16, ["x"] * 17),
        (CHAT, "max_tokens", MAX_INTEGER, MAX_INTEGER + 1),
        (CHAT, "max_tokens", 1, 0),
        (CHAT, "temperature", 2, 2.01),
        (CHAT, "temperature", 0, -0.01),
        (CHAT, "presence_penalty", -2, -2.01),
        (CHAT, "logit_bias", {"1": 100}, {"1": 100.5}),
        (CHAT, "logit_bias", {str(i): 1 for i in range(1024)}, {str(i): 1 for i in range(1025)}),
        (CHAT, "seed", MAX_SEED, MAX_SEED + 1),
        (GENERATE, "top_logprobs", 20, 21),
        (GENERATE, "context", [MAX_INTEGER], [MAX_INTEGER + 1]),
        (GENERATE, "context", [0], [-1]),
        (GENERATE, "options", {"stop": ["x"] * 64}, {"stop": ["x"] * 65}),
        (GENERATE, "options", {"num_predict": -2}, {"num_predict": -3}),
        (GENERATE, "options", {"num_ctx": MAX_INTEGER}, {"num_ctx": MAX_INTEGER + 1}),
        (GENERATE, "options", {"top_p": 1}, {"top_p": 1.01}),
        (GENERATE, "homeport", {"tags": ["x"] * 16}, {"tags": ["x"] * 17}),
        (GENERATE, "homeport", {"deadline_seconds": 86400}, {"deadline_seconds": 86401}),
        (GENERATE, "keep_alive", "9" * 17 + "ns", "9" * 70 + "s"),
        (EMBED, "input", ["x"] * 2048, ["x"] * 2049),
        (EMBED, "dimensions", 32, 33),
    ],
)
async def test_a_bound_holds_to_the_last(served, route, field, allowed, refused):
    """What is just allowed passes, and one more is a 400."""
    path, body = route
    needs = {"logprobs": True} if field == "top_logprobs" else {}
    for value, expected in ((allowed, 200), (refused, 400)):
        async with served.http.post(path, json={**body, **needs, field: value}) as response:
            assert response.status == expected, (value, await response.text())


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        (_nested_schema(32), _nested_schema(33)),
        ({"description": "x" * 200_000}, {"description": "x" * 262_144}),
    ],
)
async def test_forms_are_bounded(served, allowed, refused):
    """A schema has a depth and a size; whether a model can keep to it is another question."""
    path, body = CHAT
    for schema, is_refused in ((allowed, False), (refused, True)):
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        async with served.http.post(path, json={**body, "response_format": form}) as response:
            text = await response.text()
            assert (response.status == 400) == is_refused, text


def test_tools_are_counted():
    """128 of them are enough for anybody."""
    tools = [OfferedTool(function=OfferedFunction(name=f"f{index}")) for index in range(129)]
    assert len(read_function_tools(tools[:128])) == 128
    with pytest.raises(InvalidRequestError, match="128"):
        read_function_tools(tools)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "-1e400", "0x10", "1_000"]
)
@pytest.mark.parametrize("field", ["temperature", "seed", "max_tokens", "n", "top_p"])
async def test_numbers_that_are_none_are_refused(served, number, field):
    """Neither what JSON does not know nor what no machine holds gets past the reader."""
    body = f'{{"model": "scripted:1b", "prompt": "x", "{field}": {number}}}'
    async with served.http.post("/v1/completions", data=body.encode()) as response:
        assert response.status == 400, await response.text()
    options = f'{{"{field}": {number}, "num_predict": {number}}}'
    body = f'{{"model": "scripted:1b", "prompt": "x", "stream": false, "options": {options}}}'
    async with served.http.post("/api/generate", data=body.encode()) as response:
        assert response.status == 400, await response.text()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"scripted:1b","messages":' + b"[" * 500_000,
        b'{"model":"scripted:1b","messages":[],"tools":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"model":"scripted:1b","messages":[' + b"{}," * 300_000 + b"{}]}",
        b'{"model":"scripted:1b","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema",'
        b'"json_schema":{"name":"x","schema":{"type":"string","pattern":"'
        + b"(" * 30_000
        + b"a+"
        + b")+" * 30_000
        + b'$"}}}}',
        b'{"model":"scripted:1b","messages":[{"role":"user","content":"x"}],"guided_regex":"'
        + b"(a+)+" * 100_000
        + b'"}',
        b'{"' + b"k" * 900_000 + b'":1}',
        b'{"model":"' + b"m" * 900_000 + b'","messages":[{"role":"user","content":"x"}]}',
    ],
    ids=["open", "deep", "wide", "pattern", "regex", "key", "name"],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat"])
async def test_hostile_bodies_are_refused_at_once(served, path, body):
    """What is made to be expensive costs less than a second, and the server lives on."""
    computed = time.process_time()
    async with served.http.post(path, data=body) as response:
        await response.read()
        assert response.status < 500
    assert time.process_time() - computed < 1
    async with served.http.get("/") as response:
        assert response.status == 200


async def test_a_slow_body_is_given_up(settings, serving):
    """Whoever announces a body and sends a byte now and then is told that it took too long."""
    server = attrs.evolve(settings.server, body_timeout_seconds=0.05)
    request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    async with serving(attrs.evolve(settings, server=server)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
        writer.write(request)
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("count", [1, 400])
async def test_headers_are_bounded(served, send_raw, count):
    """Neither one large header nor many small ones fill the memory."""
    size = 10_000_000 // count
    headers = b"".join(b"X-%d: %s\r\n" % (index, b"a" * size) for index in range(count))
    try:
        answer = await send_raw(served, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n")
    except ConnectionError:
        answer = b""
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ", b"HTTP/1.1 431 "))
