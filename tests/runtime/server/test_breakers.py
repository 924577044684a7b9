import pytest

from homeport import BackendError
from homeport.gateway.target import TargetKey

ECHO = {"backend": "echo", "model": "echo:latest"}


def fail(served, model="scripted:1b", count=5):
    for _ in range(count):
        served.runtime.gateway.breakers.call(TargetKey("scripted", model)).end(BackendError("down"), 0.1)


async def ask(served, model):
    return await served.json("POST", "/api/generate", {"model": model, "prompt": "hi", "stream": False})


async def test_what_was_called_is_listed(served):
    """Every model that was asked has a breaker with its counts; nothing else has."""
    assert await served.json("GET", "/v1/breakers") == (200, {"object": "list", "data": []})
    assert (await ask(served, "echo"))[0] == 200
    status, answer = await served.json("GET", "/v1/breakers")
    assert status == 200
    (breaker,) = answer["data"]
    assert (breaker["name"], breaker["state"]) == ("echo/echo:latest", "closed")
    assert (breaker["total_requests"], breaker["success_rate"], breaker["trip_count"]) == (1, 1.0, 0)
    assert breaker["last_failure_time"] is None
    assert breaker["last_success_time"].endswith("Z")


async def test_an_operator_takes_a_model_out_and_lets_it_in_again(served):
    """A model that is forced open is not called, not even alone, until it is reset."""
    status, breaker = await served.json("POST", "/v1/breakers", {**ECHO, "action": "open"})
    assert (status, breaker["state"], breaker["is_forced"]) == (200, "open", True)
    assert (await ask(served, "echo"))[0] >= 400
    status, breaker = await served.json("POST", "/v1/breakers", {**ECHO, "action": "reset"})
    assert (status, breaker["state"], breaker["is_forced"]) == (200, "closed", False)
    assert (await ask(served, "echo"))[0] == 200


async def test_what_opened_by_itself_can_be_reset(served):
    """The list says why nobody calls it, and a reset ends that."""
    fail(served)
    _, answer = await served.json("GET", "/v1/breakers")
    assert answer["data"][0]["state"] == "open"
    assert 0 < answer["data"][0]["time_until_retry"] <= 10
    wanted = {"backend": "scripted", "model": "scripted:1b", "action": "reset"}
    status, breaker = await served.json("POST", "/v1/breakers", wanted)
    assert (status, breaker["state"], breaker["failed_requests"]) == (200, "closed", 5)


async def test_a_target_that_was_called_is_known_although_nobody_offers_it(served):
    """A backend that is down, and lists nothing, can still be reset."""
    fail(served, model="gone:latest")
    wanted = {"backend": "scripted", "model": "gone:latest", "action": "reset"}
    assert (await served.json("POST", "/v1/breakers", wanted))[0] == 200


async def test_short_and_other_names_are_understood(served):
    """The model may be named as in any request."""
    wanted = {"backend": "echo", "model": "ECHO", "action": "open"}
    assert (await served.json("POST", "/v1/breakers", wanted))[1]["name"] == "echo/echo:latest"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**ECHO, "action": "close"}, "action"),
        ({**ECHO}, "action"),
        ({"backend": 5, "model": "echo", "action": "open"}, "backend"),
        ({"backend": "echo", "model": "nobody", "action": "open"}, 'backend "echo" has no model "nobody"'),
        ({"backend": "nobody", "model": "echo", "action": "open"}, 'backend "nobody" has no model "echo"'),
        ({"backend": "echo", "model": "../..", "action": "reset"}, "model"),
        ({"backend": "echo", "model": "x" * 9999, "action": "reset"}, "model"),
        ([], "body"),
    ],
)
async def test_a_wrong_command_is_refused_and_changes_nothing(served, body, said):
    """Unknown actions and targets are told, and no breaker comes to be."""
    status, answer = await served.json("POST", "/v1/breakers", body)
    assert status == 400
    assert said in answer["error"]["message"]
    assert (await served.json("GET", "/v1/breakers"))[1]["data"] == []
