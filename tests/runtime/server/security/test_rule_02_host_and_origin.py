"""Rule 2: the Host is checked always, the Origin on every route, before anything else happens."""

import re

import pytest

from homeport.server.hosts import HostPolicy
from homeport.server.origins import OriginPolicy


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


async def test_two_hosts_are_none(served, send_raw):
    """A request with two Host headers is refused, whichever of them is good."""
    answer = await send_raw(served, b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
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
