"""Rule 3: who may enter is decided on the matched route; all but four routes are closed."""

import re

import attrs
import pytest

from homeport.config.settings import ServerSettings
from homeport.server.endpoints import ENDPOINTS

KEY = "k-1234567890"
PUBLIC = {"/", "/healthz", "/readyz", "/health"}


def _paths():
    return [(each.method, re.sub(r"{\w+(:[^{}]*)?}", "echo", each.path)) for each in ENDPOINTS]


@pytest.mark.parametrize(("method", "path"), _paths())
async def test_every_route_but_the_public_ones_wants_a_key(locked, method, path):
    """Without a key only the four public routes answer; what it would do is not done."""
    async with locked.http.request(method, path, data=b"not json") as response:
        assert response.status == (200 if path in PUBLIC else 401)


@pytest.mark.parametrize(
    "path",
    ["//api/tags", "/api//tags", "/%61pi/t%61gs", "/API/tags", "/api/tags/", "/healthz/../api/tags", "/no"],
)
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_no_spelling_of_a_path_gets_around_the_key(locked, path, host, send_raw):
    """Doubled slashes, encoded letters, other case and unknown paths are closed too."""
    answer = await send_raw(
        locked, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("verb", ["PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_no_verb_gets_around_the_key(locked, verb):
    """A verb that a public path does not have is closed like any unknown route."""
    async with locked.http.request(verb, "/healthz") as response:
        assert response.status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": f"Bearer {KEY}"}, 200),
        ({"Authorization": f"bearer  {KEY}"}, 200),
        ({"x-api-key": KEY}, 200),
        ({"Authorization": "Bearer wrong", "x-api-key": KEY}, 200),
        ({"Authorization": KEY}, 401),
        ({"Authorization": f"Basic {KEY}"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Bearer k-123456789"}, 401),
        ({"Authorization": f"Bearer {KEY}0"}, 401),
        ({"x-api-key": "' OR 1=1 --"}, 401),
        ({"x-api-key": ""}, 401),
        ({}, 401),
    ],
)
@pytest.mark.parametrize("path", ["/api/tags", "/v1/models"])
async def test_a_key_is_taken_in_two_headers(locked, path, headers, status):
    """The key passes as bearer token and as x-api-key, and nothing else does."""
    async with locked.http.get(path, headers=headers) as response:
        assert response.status == status


@pytest.mark.parametrize("path", ["/api/generate", "/v1/completions"])
async def test_requests_bear_a_digest_of_their_key(settings, serving, path):
    """Clients are told apart by their key, which itself goes no further than the server."""
    owners = []
    for key in (KEY, "another key", None):
        async with serving(attrs.evolve(settings, server=ServerSettings(api_key=key))) as served:
            body = {"model": "scripted:1b", "prompt": "hi", "stream": False}
            async with served.http.post(path, json=body, headers={"x-api-key": key or "any"}) as response:
                assert response.status == 200
            owners.append(served.scripted.asked[-1].owner)
    assert owners[2] == ""
    assert len(set(owners)) == 3
    assert not any(KEY in owner for owner in owners)


async def test_a_key_of_odd_bytes_is_wrong_not_fatal(locked, send_raw):
    """Bytes that are no UTF-8 are compared like any others."""
    request = b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\nx-api-key: \xff\xfe\r\nConnection: close\r\n\r\n"
    assert (await send_raw(locked, request)).startswith(b"HTTP/1.1 401 ")


async def test_a_missing_key_is_told_in_each_dialect(locked):
    """The 401 has the shape of its path, and comes before the body is read."""
    assert await locked.json("POST", "/api/chat", headers={"Content-Length": "0"}) == (
        401,
        {"error": "unauthorized"},
    )
    assert await locked.json("POST", "/v1/embeddings") == (
        401,
        {
            "error": {
                "message": "unauthorized",
                "type": "authentication_error",
                "param": None,
                "code": "invalid_api_key",
            }
        },
    )


async def test_host_and_origin_are_checked_before_the_key(locked):
    """A stranger does not even learn that there is a key."""
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        async with locked.http.get("/api/tags", headers=headers) as response:
            assert (response.status, await response.read()) == (403, b"")


async def test_without_a_configured_key_any_key_is_fine(served):
    """Clients that always send a key work against an open server."""
    async with served.http.get("/api/tags", headers={"Authorization": "Bearer anything"}) as response:
        assert response.status == 200
