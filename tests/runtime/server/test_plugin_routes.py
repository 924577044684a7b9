"""Routes that plugins add, behind a real listener."""

from contextlib import asynccontextmanager

import aiohttp
import attrs
import pytest

from homeport import InvalidRequestError, PluginError, RouteScope, RouteSpec, Settings, hookimpl
from homeport.config.settings import PluginSettings, ServerSettings
from homeport.plugin.registry import PluginState
from homeport.runtime import Runtime
from homeport.server.app import build_app
from homeport.server.endpoints import ENDPOINTS
from homeport.server.listener import serve

HERE = __name__


@attrs.frozen
class Seen:
    query: dict
    body: object
    owner: str


class Mirror:
    """Answers with what it was asked."""

    async def answer(self, call):
        return Seen(dict(call.query), call.body, call.owner)


class Failing:
    async def answer(self, call):
        raise {"typed": InvalidRequestError("no such bill", field="bill")}.get(
            call.query.get("how")
        ) or KeyError("x")


class Unspeakable:
    async def answer(self, call):
        return object()


class Broken:
    def __init__(self):
        raise ValueError("no ink")


class Offering:
    def __init__(self, *specs):
        self._specs = specs

    @hookimpl
    def homeport_routes(self):
        return self._specs


def spec(name="bill", path="/v1/bill", factory="Mirror", scope=RouteScope.ADMIN, method="GET"):
    return RouteSpec(
        name=name, path=path, factory=f"{HERE}:{factory}", scope=scope, method=method, summary="A bill"
    )


@pytest.fixture
def offered(tmp_path):
    """Serve the routes of a plugin, and no other plugin."""

    @asynccontextmanager
    async def start(*specs, **server):
        settings = Settings(
            home=tmp_path,
            server=ServerSettings(max_body_bytes=1000, **server),
            plugins=PluginSettings(enabled=("printer",)),
        )
        async with (
            Runtime.open(settings, plugins={"printer": Offering(*specs)}) as runtime,
            serve(runtime, host="127.0.0.1", port=0) as url,
            aiohttp.ClientSession(url) as http,
        ):
            yield http, runtime

    return start


async def test_route_sees_query_body_and_owner_and_answers_json(offered):
    """What an object returns is encoded as it is, attrs values too."""
    async with offered(spec(), spec("pay", "/v1/bill/pay", method="POST")) as (http, _):
        async with http.get("/v1/bill?by=day&x=%20") as response:
            assert response.content_type == "application/json"
            assert await response.json() == {"query": {"by": "day", "x": " "}, "body": None, "owner": ""}
        async with http.post("/v1/bill/pay", json={"sum": [1, "a"]}) as response:
            assert (await response.json())["body"] == {"sum": [1, "a"]}
        async with http.post("/v1/bill/pay") as response:
            assert (await response.json())["body"] is None
        async with http.head("/v1/bill") as response:
            assert response.status == 200


async def test_route_is_closed_without_a_key(offered):
    """Where keys are configured no route of a plugin is open, and the object learns who asked."""
    async with offered(spec(), api_key="secret") as (http, _):
        async with http.get("/v1/bill") as response:
            assert response.status == 401
        async with http.get("/v1/bill", headers={"authorization": "Bearer secret"}) as response:
            assert (await response.json())["owner"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b'{"a": ', 400), (b"[" * 100 + b"]" * 100, 400), (b"1" * 2000, 413), (b"\xff", 400), (b"nan", 400)],
)
async def test_body_is_bounded_json(offered, sent, status):
    """Broken, deep and large bodies do not reach the object."""
    async with (
        offered(spec(method="POST")) as (http, _),
        http.post("/v1/bill", data=sent) as response,
    ):
        assert response.status == status


async def test_parameter_that_is_given_twice_is_refused(offered):
    """An object need not guess which of two values is meant."""
    async with offered(spec()) as (http, _), http.get("/v1/bill?by=a&by=b") as response:
        assert response.status == 400
        assert (await response.json())["error"]["param"] == "by"


async def test_error_of_a_route_is_told_as_any_other(offered):
    """A typed error keeps its words; any other failure is a 500 that tells the client nothing."""
    async with offered(spec(factory="Failing")) as (http, _):
        async with http.get("/v1/bill?how=typed") as response:
            assert response.status == 400
            assert (await response.json())["error"]["message"] == "no such bill"
        async with http.get("/v1/bill") as response:
            assert response.status == 500
            assert (await response.json())["error"]["message"] == "internal server error"


async def test_answer_that_cannot_be_encoded_is_a_fault_of_the_plugin(offered):
    """The client gets a 500 and the server goes on."""
    async with offered(spec(factory="Unspeakable")) as (http, _):
        async with http.get("/v1/bill") as response:
            assert response.status == 500
        async with http.get("/healthz") as response:
            assert response.status == 200


async def test_route_that_cannot_be_built_is_told_and_left_out(offered):
    """The other routes of the plugin are served."""
    async with offered(spec(factory="Broken"), spec("copy", "/v1/copy")) as (http, runtime):
        async with http.get("/v1/bill") as response:
            assert response.status == 404
        async with http.get("/v1/copy") as response:
            assert response.status == 200
        (status,) = (plugin for plugin in runtime.registry.plugins if plugin.name == "printer")
        assert status.state is PluginState.FAILED
        assert "routes:bill" in status.cause
        assert "no ink" in status.cause


OWN_PATHS = sorted({own.path.partition("{")[0] + ("x" if "{" in own.path else "") for own in ENDPOINTS})


@pytest.mark.parametrize("path", [path for path in OWN_PATHS if path.startswith("/v1/")])
async def test_path_of_ours_stops_the_start(tmp_path, path):
    """A plugin cannot stand before a route of homeport; the message names its distribution."""
    settings = Settings(home=tmp_path, plugins=PluginSettings(enabled=("printer",)))
    given = {
        "printer": Offering(
            RouteSpec(
                name="bill", path="/v1/bill", factory=f"{HERE}:Mirror", scope=RouteScope.INFER, summary="x"
            )
        )
    }
    object.__setattr__(given["printer"]._specs[0], "path", path)
    async with Runtime.open(settings, plugins=given) as runtime:
        with pytest.raises(
            PluginError, match=r"'bill' of plugin 'printer' \(given by the caller.*homeport itself"
        ):
            build_app(runtime)


async def test_path_that_two_plugins_want_stops_the_start(tmp_path):
    """Both distributions are named, and the way out."""
    settings = Settings(home=tmp_path, plugins=PluginSettings(enabled=("one", "two")))
    given = {"one": Offering(spec("a")), "two": Offering(spec("b"))}
    async with Runtime.open(settings, plugins=given) as runtime:
        with pytest.raises(PluginError, match=r"'two' .* wants GET /v1/bill, which 'one' .* -p no:two"):
            build_app(runtime)
