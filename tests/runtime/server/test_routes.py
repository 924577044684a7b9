"""Routes and their scopes."""

import re

import pytest
from aiohttp import web
from yarl import URL

from homeport import ConfigError
from homeport.runtime import Runtime
from homeport.server.app import build_app
from homeport.server.endpoints import ENDPOINTS
from homeport.server.routes import Scope, check_scopes

FIGURES = ("/metrics", "/v1/stats")
"""Routes whose answers change from moment to moment."""
GETS = [re.sub(r"{.*}", "echo", endpoint.path) for endpoint in ENDPOINTS if endpoint.method == "GET"]


async def test_a_route_without_a_scope_stops_the_start(settings):
    """A route that was added past the scopes is named, and nothing is served."""

    async def forgotten(_: web.Request) -> web.StreamResponse:
        return web.Response()

    async with Runtime.open(settings) as runtime:
        app = build_app(runtime)
        app.router.add_post("/forgotten", forgotten)
        runner = web.AppRunner(app)
        with pytest.raises(ConfigError, match="route POST /forgotten has no scope"):
            await runner.setup()
        await runner.cleanup()


async def test_all_routes_of_the_application_have_a_scope(settings):
    """The check passes for what is served."""
    async with Runtime.open(settings) as runtime:
        await check_scopes(build_app(runtime))


def test_only_four_routes_are_public():
    """Whatever is added is closed unless it is written here."""
    public = {endpoint.path for endpoint in ENDPOINTS if endpoint.scope is Scope.PUBLIC}
    assert public == {"/", "/healthz", "/readyz", "/health"}


def test_what_changes_models_is_for_admins():
    """Pulling and deleting are beyond an inference key."""
    admin = {endpoint.path for endpoint in ENDPOINTS if endpoint.scope is Scope.ADMIN}
    assert {"/api/pull", "/api/delete"} <= admin


@pytest.mark.parametrize("path", GETS)
async def test_a_get_route_answers_head(served, path):
    """HEAD gives the headers of GET without its body."""
    async with served.http.get(path) as whole, served.http.head(path) as response:
        assert response.status == whole.status
        if path not in FIGURES:
            assert response.headers["Content-Length"] == whole.headers["Content-Length"]
        assert await response.read() == b""


@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/tags/", "//api/tags", "/API/tags"])
async def test_an_unknown_path_is_plain_text(served, path):
    """Ollama's words for an unknown path."""
    async with served.http.get(served.url + path) as response:
        assert (response.status, response.content_type) == (404, "text/plain")
        assert await response.text() == "404 page not found"


@pytest.mark.parametrize(
    "path", ["/%ff", "/%00", "/a%0d%0ab", "/api/tags%20", "/..%2f..%2fetc/passwd", "/?x=%ff"]
)
async def test_odd_paths_are_unknown_paths(served, path):
    """Bytes that are no text, control characters and dots are nothing special."""
    async with served.http.get(URL(served.url + path, encoded=True)) as response:
        assert response.status == (200 if path.startswith("/?") else 404)


async def test_an_unknown_path_under_v1_is_an_error_object(served):
    """The same words in OpenAI's shape."""
    assert await served.json("GET", "/v1/nothing") == (
        404,
        {
            "error": {
                "message": "404 page not found",
                "type": "not_found_error",
                "param": None,
                "code": None,
            }
        },
    )


async def test_a_wrong_verb_is_told_which_are_right(served):
    """405 with Allow, as text and as an error object."""
    async with served.http.get("/api/generate") as response:
        assert (response.status, await response.text()) == (405, "405 method not allowed")
        assert response.headers["Allow"] == "POST"
    async with served.http.post("/v1/models") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"
        assert (await response.json())["error"]["message"] == "405 method not allowed"


@pytest.mark.parametrize("sent", ["abc-1._X", "a" * 128])
async def test_a_good_request_id_is_kept(served, sent):
    """A client finds its own id on the response."""
    async with served.http.get("/", headers={"x-request-id": sent}) as response:
        assert response.headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "a b", "a" * 129, "ä", "<script>"])
@pytest.mark.parametrize("path", ["/", "/nothing", "/v1/nothing"])
async def test_a_bad_request_id_is_replaced(served, sent, path):
    """An id that could forge log lines is not taken over; errors have one too."""
    async with served.http.get(path, headers={"x-request-id": sent}) as response:
        fresh = response.headers["x-request-id"]
        assert fresh != sent
        assert len(fresh) == 32


@pytest.mark.parametrize("path", ["/api/tags", "/v1/messages", "/nothing"])
async def test_what_never_meets_the_application_is_named_too(served, path):
    """An Expect header that nobody knows is answered, not met with a closed connection."""
    async with served.http.get(path, headers={"Expect": "a miracle", "x-request-id": "mine"}) as response:
        assert (response.status, response.headers["x-request-id"]) == (417, "mine")


async def test_no_response_tells_what_software_it_runs_on(served):
    """The Server header names no version."""
    async with served.http.get("/") as response:
        assert response.headers["Server"] == "homeport"
