"""Host, Origin and key: who is let in."""

import asyncio
import re

import aiohttp
import attrs
import pytest

from homeport.config.settings import ServerSettings
from homeport.server.app import ENDPOINTS
from homeport.server.hosts import HostPolicy
from homeport.server.origins import OriginPolicy

KEY = "k-1234567890"
PUBLIC = {"/", "/healthz", "/readyz", "/health"}


@pytest.fixture
async def locked(settings, serving):
    """A server that wants a key."""
    async with serving(attrs.evolve(settings, server=ServerSettings(api_key=KEY))) as served:
        yield served


async def _raw(served, request: bytes) -> bytes:
    """Send bytes as they are and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "LOCALHOST:11434",
        "localhost.:80",
        "127.0.0.1:11434",
        "127.8.8.8",
        "[::1]:11434",
        "::1",
        "0.0.0.0",
        "192.168.1.20:80",
        "10.0.0.1",
        "box.local",
        "ollama.internal:11434",
        "a.localhost",
        "allowed.example:443",
    ],
)
def test_local_hosts_are_answered(host):
    """Addresses of this machine and of private networks, local names and configured ones pass."""
    assert HostPolicy(["Allowed.Example"]).allows(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:11434",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "8.8.8.8",
        "[2606:4700::1111]:80",
        "evillocalhost",
        "allowed.example.evil",
    ],
)
def test_foreign_hosts_are_refused(host):
    """A name that an attacker's DNS could point here does not pass."""
    assert not HostPolicy(["allowed.example"]).allows(host)


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost",
        "https://localhost:3000",
        "http://127.0.0.1:8080",
        "https://0.0.0.0:1",
        "app://obsidian.md",
        "file://",
        "tauri://localhost",
        "vscode-webview://1a2b",
        "vscode-file://vscode-app",
        "http://box.local:11434",
        "https://page.example",
        "chrome-extension://abc",
        "https://a.wild.example",
    ],
)
def test_known_origins_are_answered(origin):
    """Localhost on any port, desktop applications, the server's own pages and configured ones pass."""
    allowed = ["https://page.example", "chrome-extension://*", "https://*.wild.example"]
    assert OriginPolicy(allowed).allows(origin, "box.local:11434")


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "https://evil.example",
        "http://localhost.evil.example",
        "http://localhost:80@evil.example",
        "http://evil.example:11434",
        "chrome-extension://abc",
        "https://page.example.evil",
        "http://page_example",
        "http://box.local",
    ],
)
def test_foreign_origins_are_refused(origin):
    """Pages from elsewhere, opaque origins and unlisted extensions do not pass."""
    assert not OriginPolicy(["https://page.example"]).allows(origin, "box.local:11434")


def test_the_opaque_origin_must_be_listed_by_itself():
    """A wildcard does not open the door to sandboxed pages."""
    assert not OriginPolicy(["*"]).allows("null", "localhost")
    assert OriginPolicy(["*"]).allows("https://any.example", "localhost")
    assert OriginPolicy(["null"]).allows("null", "localhost")


@pytest.mark.parametrize(
    ("verb", "headers", "status"),
    [
        ("GET", {"Host": "evil.example"}, 403),
        ("POST", {"Host": "evil.example"}, 403),
        ("OPTIONS", {"Host": "evil.example"}, 403),
        ("GET", {"Origin": "https://evil.example"}, 403),
        ("POST", {"Origin": "https://evil.example"}, 403),
        ("OPTIONS", {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("DELETE", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("GET", {"Sec-Fetch-Site": "cross-site"}, 200),
        ("GET", {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "cross-site"}, 200),
        ("GET", {"Host": "localhost:99", "Origin": "http://localhost:99"}, 200),
        ("GET", {}, 200),
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/tags", "/v1/models", "/healthz"])
async def test_strangers_get_a_bare_403(served, path, verb, headers, status):
    """A forged Host or a foreign page gets an empty 403 on every verb and route."""
    async with served.http.request(verb, path, headers=headers) as response:
        assert response.status == status
        if status == 403:
            assert await response.read() == b""


async def test_two_hosts_are_none(served):
    """A request with two Host headers is refused, whichever of them is good."""
    answer = await _raw(served, b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
    assert re.match(rb"HTTP/1.[01] (400|403) ", answer)


async def test_a_preflight_of_a_known_origin_is_told_what_it_may(served):
    """A browser learns methods and headers without a key, and is never offered credentials."""
    headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    async with served.http.options("/api/chat", headers=headers) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
        assert response.headers["Vary"] == "Origin"
        assert response.headers["Access-Control-Allow-Methods"] == "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
        allowed = response.headers["Access-Control-Allow-Headers"].split(", ")
        assert {"Authorization", "x-api-key", "x-homeport-priority", "x-stainless-retry-count"} <= set(
            allowed
        )
        assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", ["echo", "nope"])
async def test_a_page_may_read_answers_and_errors(served, stream, model):
    """Every response to an allowed origin carries its CORS headers, streams and errors too."""
    body = {"model": model, "prompt": "a", "stream": stream}
    headers = {"Origin": "app://obsidian.md"}
    async with served.http.post("/api/generate", json=body, headers=headers) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "app://obsidian.md"
        assert (
            response.headers["Access-Control-Expose-Headers"] == "x-request-id, x-homeport-route, Retry-After"
        )


def _paths():
    return [(endpoint.method, endpoint.path.replace("{id:.+}", "echo")) for endpoint in ENDPOINTS]


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
async def test_no_spelling_of_a_path_gets_around_the_key(locked, path, host):
    """Doubled slashes, encoded letters, other case and unknown paths are closed too."""
    answer = await _raw(locked, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
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


async def test_a_key_of_odd_bytes_is_wrong_not_fatal(locked):
    """Bytes that are no UTF-8 are compared like any others."""
    request = b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\nx-api-key: \xff\xfe\r\nConnection: close\r\n\r\n"
    assert (await _raw(locked, request)).startswith(b"HTTP/1.1 401 ")


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
async def test_malformed_http_is_refused(served, request_bytes):
    """Giant headers and smuggled lengths end in a 400, and the server lives on."""
    try:
        answer = await _raw(served, request_bytes)
    except ConnectionError:
        answer = b""
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    async with aiohttp.ClientSession(served.url) as http, http.get("/") as response:
        assert response.status == 200
