"""Request bodies."""

import asyncio
import gzip
import time

import attrs
import msgspec
import pytest

from homeport import InvalidRequestError
from homeport.server.bodies import MAX_DEPTH, decode, too_deep
from homeport.server.schemas.ollama import ChatRequest, GenerateRequest

GENERATE = "/api/generate"


async def _post(served, body: bytes, **headers: str):
    async with served.http.post(GENERATE, data=body, headers=headers) as response:
        return response.status, (await response.json())["error"]


async def test_json_is_read_whatever_the_content_type(served):
    """curl -d sends JSON as a form, and is understood."""
    body = b'{"model": "echo", "prompt": "hello", "stream": false}'
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"):
        async with served.http.post(GENERATE, data=body, headers={"Content-Type": kind}) as response:
            assert response.status == 200
            assert (await response.json())["response"] == "hello"


@pytest.mark.parametrize("body", [b"", b"  \r\n"])
async def test_an_empty_body_is_missing(served, body):
    """No body and a blank one get one text."""
    assert await _post(served, body) == (400, "missing request body")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"[]", "invalid request: body: expected object, got array"),
        (b'"x"', "invalid request: body: expected object, got str"),
        (b"null", "invalid request: body: expected object, got null"),
        (b'{"model": 5}', "invalid request: model: expected str, got int"),
        (b'{"model": "echo", "prompt": ["a"]}', "invalid request: prompt: expected str, got array"),
        (b'{"model": "echo", "context": [1, "a"]}', "invalid request: context[1]: expected int, got str"),
        (b'{"model": "echo", "options": []}', "invalid request: options: expected object, got array"),
        (b'{"model": "echo", "stream": "no"}', "invalid request: stream: expected bool, got str"),
        (b'{"model": "echo", "top_logprobs": 1e999}', "invalid request: top_logprobs: number out of range"),
        (b'{"model": "echo", "options": {"temperature": NaN}}', "invalid request: body: JSON is malformed"),
        (b'{"model": ', "invalid request: body: Input data was truncated"),
        (b'{"model": "echo"} trailing', "invalid request: body: JSON is malformed: trailing characters"),
        (b'{"model": "\xff"}', "invalid request: body: not UTF-8"),
    ],
)
async def test_a_broken_body_is_named_by_field_and_types(served, body, text):
    """What is wrong with a body is said with the field, what it should be and what it is."""
    status, error = await _post(served, body)
    assert status == 400
    assert error.startswith(text)


def test_the_place_within_a_list_is_named():
    """A wrong message is found by its index."""
    with pytest.raises(InvalidRequestError, match=r"messages\[1\]\.content: expected str, got int"):
        decode(b'{"messages": [{"role": "user"}, {"content": 5}]}', ChatRequest)


def _nested(depth: int) -> bytes:
    return b'{"format":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_depth_is_bounded_to_the_level():
    """64 levels pass, 65 do not."""
    assert decode(_nested(MAX_DEPTH), GenerateRequest).format is not None
    with pytest.raises(InvalidRequestError, match="nested deeper than 64 levels"):
        decode(_nested(MAX_DEPTH + 1), GenerateRequest)


def test_many_shallow_brackets_and_brackets_in_texts_are_not_deep():
    """Width is not depth, and what stands in a string is no bracket."""
    assert not too_deep(b'{"context":[' + b"[]," * 1000 + b"[]]}")
    assert not too_deep(msgspec.json.encode({"prompt": '[{"' * 1000, "system": '\\"[' * 1000}))


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "body",
    [b"[" * 1_000_000, b'{"a":' * 200_000, b'"' + b'\\"' * 500_000, b'"[' * 500_000, _nested(300_000)],
    ids=["open", "objects", "unterminated", "quotes", "closed"],
)
async def test_hostile_nesting_is_refused_quickly(served, settings, body):
    """Bodies made to exhaust the parser get a 4xx well within a second."""
    computed = time.process_time()
    status, _ = await _post(served, body[: settings.server.max_body_bytes])
    assert status == 400
    assert time.process_time() - computed < 1


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_above_the_bound_is_refused(served, settings, declared):
    """One byte more than allowed is too much, whether announced or streamed."""
    bound = settings.server.max_body_bytes
    padding = b" " * (bound - len(b'{"model":"echo"}'))
    async with served.http.post(GENERATE, data=b'{"model":"echo"}' + padding) as response:
        assert response.status == 200

    async def chunks():
        yield b'{"model":"echo"}' + padding
        yield b" "

    body = b'{"model":"echo"}' + padding + b" " if declared else chunks()
    async with served.http.post(GENERATE, data=body) as response:
        assert response.status == 413
        assert await response.json() == {"error": "request body too large"}


async def test_a_compressed_body_is_refused(served):
    """No request is decompressed, so none can be a bomb."""
    async with served.http.post(
        "/v1/chat/completions", data=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}
    ) as response:
        error = (await response.json())["error"]
        assert response.status == 415
        assert (error["type"], error["code"]) == ("invalid_request_error", None)
        assert error["message"] == 'content encoding "gzip" is not supported'


async def test_a_body_that_does_not_arrive_is_given_up(settings, serving):
    """A client that announces a body and never sends it gets 408 after the configured time."""
    server = attrs.evolve(settings.server, body_timeout_seconds=0.05)
    async with serving(attrs.evolve(settings, server=server)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
        writer.write(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert b"408" in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_unknown_fields_are_ignored_at_every_depth(served):
    """A field that nobody knows never fails a request."""
    body = {
        "model": "echo",
        "prompt": "hello",
        "stream": False,
        "keep_alive": None,
        "colour": {"deep": [1]},
        "options": {"colour": 1, "temperature": None},
    }
    status, answer = await served.json("POST", GENERATE, body)
    assert (status, answer["response"]) == (200, "hello")
