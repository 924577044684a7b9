import attrs
import pytest

from homeport import Settings
from homeport.config.gateway_settings import GatewaySettings, RouteSettings

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def settings(settings) -> Settings:
    return attrs.evolve(
        settings,
        gateway=GatewaySettings(fallbacks=("acme/tiny:q8",)),
        tiers={"power": ("scripted:1b", "gone:7b")},
        routes={
            "shared": RouteSettings(models=("scripted:1b", "echo"), weights=(1.0, 1.0)),
            "orphan": RouteSettings(fallbacks=("echo",)),
        },
    )


async def explained(served, **body):
    status, answer = await served.json("POST", "/v1/routes/explain", {"messages": HELLO} | body)
    assert status == 200, answer
    return answer


async def test_explanation_tells_who_would_serve_and_why(served):
    """Candidates, refusals with reasons, fallbacks and the seed are told; nothing is run."""
    answer = await explained(served, model="power")
    assert answer["chosen"] == {"backend": "scripted", "model": "scripted:1b"}
    assert (answer["model"], answer["tier"], answer["reason"]) == ("power", "power", "only")
    assert answer["candidates"][0]["success_rate"] == 1.0
    assert [(each["model"], each["passes"]) for each in answer["refusals"]] == [("gone:7b", False)]
    assert [each["model"] for each in answer["fallbacks"]] == ["acme/tiny:q8"]
    assert served.scripted.asked == []


async def test_equal_seeds_give_equal_explanations_and_the_answer_follows_them(served):
    """What is explained for a seed is what a request with that seed gets."""
    for seed in range(8):
        terms = {"homeport": {"seed": seed}}
        first = await explained(served, model="shared", **terms)
        assert first == await explained(served, model="shared", **terms)
        async with served.http.post(
            "/v1/chat/completions", json={"model": "shared", "messages": HELLO} | terms
        ) as response:
            assert response.status == 200
            assert (await response.json())["model"] == "shared"
            route = response.headers["x-homeport-route"]
        assert f"backend={first['chosen']['backend']};" in route
        assert "reason=weights;" in route


async def test_impossible_route_is_explained_and_refused(served):
    """An explanation shows why nobody could serve; the request itself is 400 with the same reasons."""
    messages = [{"role": "user", "content": "word " * 3000}]
    answer = await explained(served, model="power", messages=messages)
    assert (answer["chosen"], answer["candidates"]) == (None, [])
    reasons = [each["reason"] for each in answer["refusals"]]
    assert reasons[0] == "2048 tokens do not hold a prompt of about 3754"
    body = {"model": "power", "messages": messages}
    status, error = await served.json("POST", "/v1/chat/completions", body)
    assert (status, error["error"]["param"]) == (400, "model")
    assert all(reason in error["error"]["message"] for reason in reasons)
    assert served.scripted.asked == []


async def test_tier_serves_on_every_dialect_under_its_own_name(served):
    """A tier is a model name for every client, and its answer bears it."""
    status, answer = await served.json(
        "POST", "/api/chat", {"model": "haiku", "messages": HELLO, "stream": False}
    )
    assert (status, answer["model"], answer["message"]["content"]) == (200, "haiku", "Hello")
    status, answer = await served.json("POST", "/api/embed", {"model": "auto", "input": "x"})
    assert (status, answer["model"]) == (200, "auto")
    status, answer = await served.json("POST", "/api/show", {"model": "fast"})
    assert (status, answer["details"]["family"]) == (200, "llama")
    names = [each["name"] for each in (await served.json("GET", "/api/tags"))[1]["models"]]
    assert "fast" not in names


async def test_names_that_leave_a_choice_take_no_sampling_default_of_one_model(served):
    """What one model was published with is not forced on another that may serve."""
    await served.json("POST", "/api/chat", {"model": "scripted:1b", "messages": HELLO, "stream": False})
    await served.json("POST", "/api/chat", {"model": "auto", "messages": HELLO, "stream": False})
    named = served.scripted.asked[0]
    assert named.sampling.temperature == 0.3
    assert all(request.sampling.temperature == 0.8 for request in served.scripted.asked[1:])


async def test_list_resolves_every_name(served):
    """Tiers, routes and the free choice are listed with who serves them now; what cannot is named."""
    status, answer = await served.json("GET", "/v1/routes")
    assert status == 200
    found = {each["name"]: each for each in answer["data"]}
    assert set(found) == {"fast", "balanced", "power", "remote", "inherit", "auto", "shared", "orphan"}
    assert [each["model"] for each in found["fast"]["candidates"]] == ["scripted:1b"]
    assert (found["shared"]["kind"], len(found["shared"]["candidates"])) == ("route", 2)
    assert found["orphan"]["candidates"] == []
    assert found["orphan"]["refusals"][0]["reason"] == "model 'orphan' not found"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"model": "echo"}, 400),
        ({"model": "echo", "messages": []}, 400),
        ({"model": "echo", "prompt": 7}, 400),
        ({"model": "echo", "prompt": "x", "homeport": {"seed": -1}}, 400),
        ({"model": "echo", "prompt": "x", "max_tokens": -5}, 400),
        ({"model": "echo", "input": [1]}, 400),
        ({"model": "nobody", "prompt": "x"}, 404),
        ({"model": "../x", "prompt": "x"}, 400),
    ],
)
async def test_broken_questions_are_refused(served, body, status):
    """Each fault is an error of the dialect, with the status that a request would get."""
    got, answer = await served.json("POST", "/v1/routes/explain", body)
    assert (got, "message" in answer["error"]) == (status, True)
