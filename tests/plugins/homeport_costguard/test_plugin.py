import subprocess
import sys
from contextlib import asynccontextmanager

import aiohttp
import click
import pytest

from homeport import GenerationRequest, Settings, TextPrompt
from homeport.config.settings import GatewaySettings, PluginSettings
from homeport.plugin.construction import Construction
from homeport.plugin.manager import load_plugins
from homeport.runtime import Runtime
from homeport.server.listener import serve
from homeport.testing import EchoPlugin
from homeport_costguard import plugin

from .ledger_view import rows

NAME = "guarded"
"""Not its own, so that it does not matter whether it is installed too."""
PLUGINS = {NAME: plugin, "echo": EchoPlugin()}


def settings_of(home, **table):
    return Settings(
        home=home,
        gateway=GatewaySettings(routers=("cost",)),
        plugins=PluginSettings(enabled=tuple(PLUGINS), strict=True, tables={"cost-guard": table}),
    )


@pytest.fixture
def opened(tmp_path):
    """A runtime with the guard and the echo backend, behind a listener."""

    @asynccontextmanager
    async def start(**table):
        async with (
            Runtime.open(settings_of(tmp_path, **table), plugins=PLUGINS) as runtime,
            serve(runtime, host="127.0.0.1", port=0) as url,
            aiohttp.ClientSession(url) as http,
        ):
            yield runtime, http

    return start


async def test_request_through_the_server_is_written_down_and_reported(opened, tmp_path):
    """Guard, router and route are one object: what one writes the other tells."""
    async with opened(budgets={"all": {"hard_calls": 5}}) as (_, http):
        body = {"model": "echo", "prompt": "one two", "stream": False}
        async with http.post("/api/generate", json=body) as response:
            assert response.status == 200
        async with http.get("/v1/costs", params={"by": "model"}) as response:
            assert response.status == 200
            report = await response.json()
    assert [(row["name"], row["calls"]) for row in report["rows"]] == [("echo", 1)]
    assert report["budgets"][0]["spent"] == 1
    assert rows(tmp_path / "state" / NAME, "SELECT outcome FROM entries") == [("ok",)]


async def test_spent_budget_is_answered_as_a_quota(opened):
    """429 with insufficient_quota and no retry, and nothing reaches the backend."""
    async with opened(budgets={"none": {"hard_calls": 0}}) as (_, http):
        body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
        async with http.post("/v1/chat/completions", json=body) as response:
            answer = await response.json()
            assert response.status == 429, answer
            assert response.headers["x-should-retry"] == "false"
    assert answer["error"]["code"] == "insufficient_quota"
    assert "'none'" in answer["error"]["message"]


async def test_budget_that_routing_knows_to_be_spent_is_answered_as_a_quota_too(opened):
    """The second refusal is that of the first, although no attempt is made any more."""
    async with opened(budgets={"one": {"hard_calls": 1}}) as (_, http):
        body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
        statuses = []
        for _ in range(3):
            async with http.post("/v1/chat/completions", json=body) as response:
                statuses.append((response.status, (await response.json()).get("error", {}).get("code")))
    assert statuses == [(200, None), (429, "insufficient_quota"), (429, "insufficient_quota")]


async def test_wrong_parameter_of_the_route_is_a_400(opened):
    """The report says what it knows."""
    async with opened() as (_, http), http.get("/v1/costs?by=planet") as response:
        assert response.status == 400
        assert (await response.json())["error"]["param"] == "by"


async def test_cost_of_one_request_stands_in_its_entry(opened, tmp_path):
    """A rate of this machine makes local answers cost, by the gateway's own clock."""
    async with opened(local_usd_per_cpu_hour=3600.0) as (runtime, _):
        request = GenerationRequest(id="mine", model="echo", prompt=TextPrompt("a b c"))
        async with runtime.gateway.generate(request) as reply:
            assert [event async for event in reply]
    ((name, estimate),) = rows(tmp_path / "state" / NAME, "SELECT request, estimate FROM entries")
    assert (name, estimate) == ("mine", 0)


def test_records_share_one_table_and_one_object(tmp_path):
    """Guard, router and route are built once; the verb is a command of its own."""
    settings = settings_of(tmp_path, job_usd=3.0)
    registry = load_plugins(settings, PLUGINS)
    construction = Construction(settings, registry, {})
    built = [
        construction.build(kind, entry)
        for kind, entry in (
            ("guards", registry.guards["cost-guard"]),
            ("routers", registry.routers["cost"]),
            ("routes", registry.routes["costs"]),
        )
    ]
    assert built[0] is built[1] is built[2]
    assert isinstance(construction.build("commands", registry.commands["cost"]), click.Group)
    assert set(registry.config_classes()) == {"cost-guard"}


def test_listing_imports_neither_sqlite_nor_click():
    """Declaring the records costs nothing of what they need later."""
    code = "import sys, homeport_costguard.plugin; print({'sqlite3', 'click', 'tomllib'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() in {"set()", "{'tomllib'}"}
