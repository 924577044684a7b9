"""All routers and the guard together, from a homeport.toml to the answers of a server."""

from collections import Counter
from contextlib import asynccontextmanager

import aiohttp
import attrs
import pytest

from homeport import BackendKind, BackendSpec, hookimpl
from homeport.config.loading import load_settings
from homeport.runtime import Runtime
from homeport.server.listener import serve
from homeport.testing import Script, ScriptedBackend

SETTINGS = """
[plugins]
enabled = ["routers", "cost-guard", "models"]
strict = true

[routes.desk]
models = ["small:1b", "dear:80b", "large:70b"]

[gateway]
routers = ["rules", "complexity", "cost", "load"]

[plugins.rules.rule.secrets]
words = ["confidential"]
only = ["local"]

[plugins.rules.rule.bulk]
agents = ["tagger"]
least_tokens = 100
refuse = true

[plugins.complexity]
standard = ["power", "fast"]

[plugins.cost-guard.prices."dear:80b"]
input = 1.0
output = 10.0
as_of = "2026-11-01"
source = "a test"

[plugins.cost-guard.budgets.cloud]
scope = "model"
match = "dear:80b"
hard_usd = 0.001
"""
SIMPLE = "What is the capital of France?"
STANDARD = "Write a function that sorts a list of orders by date and skips those without one."
COMPLEX = (
    "Prove that the protocol never loses a write, derive its cost in messages, compare the assumptions and "
    "explain why each step holds unless two nodes fail."
)
MOST_TOKENS = 40
"""Of an answer: its worst case, with the prompt, is half of the budget and more."""


class Scripted(ScriptedBackend):
    """Answers at once, with slots enough."""

    latest: "dict[str, Scripted]" = {}  # noqa: RUF012 - the runtime builds them

    def __init__(self, name, models, **facts):
        super().__init__(
            name, {model: [Script(first_token_seconds=0, tokens_per_second=1e6)] for model in models}, **facts
        )
        Scripted.latest[name] = self


def here():
    return Scripted("here", ("small:1b", "large:70b"), slots=8)


def twin():
    return Scripted("twin", ("small:1b",), slots=8)


def cloud():
    return Scripted("cloud", ("dear:80b",), slots=8, is_remote=True)


class Models:
    """Two servers on this machine and one elsewhere."""

    @hookimpl
    def homeport_backends(self):
        return [
            BackendSpec(name=each.__name__, kind=BackendKind.REMOTE, factory=f"{__name__}:{each.__name__}")
            for each in (here, twin, cloud)
        ]


PLUGINS = {"models": Models()}


@attrs.frozen
class Desk:
    """A client of the server."""

    http: aiohttp.ClientSession

    async def ask(self, text, *, model="desk", **terms):
        """Ask; give status, body and who served it."""
        body = {
            "model": model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": MOST_TOKENS,
            "homeport": terms,
        }
        async with self.http.post("/v1/chat/completions", json=body) as response:
            route = dict(
                part.strip().split("=") for part in response.headers.get("x-homeport-route", "x=").split(";")
            )
            return response.status, await response.json(), (route.get("backend"), route.get("model"))

    async def served_by(self, text, **terms):
        """Ask, and give who served it."""
        status, answer, served = await self.ask(text, **terms)
        assert status == 200, answer
        return served


@pytest.fixture
def opened(tmp_path):
    """Serve with the settings above, read from a file as a user's are."""

    @asynccontextmanager
    async def start(text=SETTINGS):
        file = tmp_path / "homeport.toml"
        file.write_text(text)
        settings = attrs.evolve(load_settings(file=file, environ={}).settings, home=tmp_path)
        async with (
            Runtime.open(settings, plugins=PLUGINS) as runtime,
            serve(runtime, host="127.0.0.1", port=0) as url,
            aiohttp.ClientSession(url) as http,
        ):
            yield Desk(http)

    return start


@pytest.fixture
async def desk(opened):
    async with opened() as desk:
        yield desk


async def test_simple_questions_are_shared_by_the_servers_of_the_small_model(desk):
    """``complexity`` chooses the model, ``load`` the server; nothing is paid for."""
    served = Counter([await desk.served_by(SIMPLE, seed=seed) for seed in range(40)])
    assert set(served) == {("here", "small:1b"), ("twin", "small:1b")}
    assert min(served.values()) > 8
    assert Scripted.latest["cloud"].calls == []


async def test_only_hard_questions_leave_the_machine(desk):
    """Of the large models ``cost`` puts the local one first unless the request is hard."""
    assert await desk.served_by(STANDARD) == ("here", "large:70b")
    assert await desk.served_by(COMPLEX) == ("cloud", "dear:80b")


async def test_rule_outranks_what_comes_behind_it(desk):
    """A hard question with a secret stays here; what nobody may serve is refused with the reason."""
    assert await desk.served_by(f"This is confidential. {COMPLEX}") == ("here", "large:70b")
    status, answer, _ = await desk.ask("word " * 100, agent="tagger")
    assert status == 403
    assert "router 'rules'" in answer["error"]["message"]
    assert Scripted.latest["cloud"].calls == []


async def test_spent_budget_sends_hard_questions_to_local_models(desk):
    """Who names the paid model is told which budget is spent, and nothing is sent; others are served here."""
    while len(Scripted.latest["cloud"].calls) < 2:
        assert await desk.served_by(COMPLEX) == ("cloud", "dear:80b")
        async with desk.http.get("/v1/costs", params={"by": "model"}) as response:
            (spent,) = [row for row in (await response.json())["rows"] if row["name"] == "dear:80b"]
        if spent["micro_usd"] > 400:
            break
    asked = len(Scripted.latest["cloud"].calls)
    assert await desk.served_by(COMPLEX) == ("here", "large:70b")
    status, answer, _ = await desk.ask(COMPLEX, model="dear:80b")
    assert (status, answer["error"]["code"]) == (429, "insufficient_quota")
    for part in ("budget 'cloud'", "model 'dear:80b'", "its cap is 0.001000 USD per day", "begins anew at"):
        assert part in answer["error"]["message"]
    assert len(Scripted.latest["cloud"].calls) == asked


async def test_explanation_names_each_router_and_repeats_itself(desk):
    """What is explained for a seed is what a request with that seed gets."""
    body = {"model": "desk", "messages": [{"role": "user", "content": SIMPLE}], "homeport": {"seed": 7}}
    async with desk.http.post("/v1/routes/explain", json=body) as response:
        explained = await response.json()
    assert [step["name"] for step in explained["steps"]] == ["rules", "complexity", "cost", "load"]
    served = await desk.served_by(SIMPLE, seed=7)
    assert served == (explained["chosen"]["backend"], explained["chosen"]["model"])


async def test_without_routers_the_first_of_the_route_serves(opened):
    """Nobody's requests are ranked by a router that is not listed."""
    async with opened(SETTINGS.replace("routers = [", "routers = [] # [")) as desk:
        assert {await desk.served_by(text) for text in (SIMPLE, COMPLEX)} == {("here", "small:1b")}
