"""``POST /api/generate``."""

import json
import math
import re
from datetime import datetime

import pytest

from homeport import (
    ChatPrompt,
    ContextOverflowError,
    Finished,
    FinishReason,
    Message,
    PromptAccepted,
    Role,
    TextDelta,
    TextPrompt,
    TokenLogprob,
    Usage,
)

PATH = "/api/generate"
FULL = "registry.ollama.ai/library/scripted:1b"
METRICS = {
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_cached_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
}


async def _lines(served, body: dict) -> list[dict]:
    async with served.http.post(PATH, json=body) as response:
        assert (response.status, response.content_type) == (200, "application/x-ndjson")
        raw = await response.read()
    assert b"\n\n" not in raw
    assert raw.endswith(b"\n")
    return [json.loads(line) for line in raw.splitlines()]


async def _asked(served, **fields: object):
    """Send a request to the scripted model and return what its backend was asked."""
    body = {"model": "scripted:1b", "prompt": "hi", "stream": False} | fields
    status, answer = await served.json("POST", PATH, body)
    assert status == 200, answer
    return served.scripted.asked[-1]


async def test_it_streams_by_default(served):
    """One line per piece and a last one with figures; the requested name is echoed byte for byte."""
    *pieces, last = await _lines(served, {"model": "Echo", "prompt": "why so blue"})
    assert [piece["response"] for piece in pieces] == ["why", " so", " blue"]
    for piece in pieces:
        assert set(piece) == {"model", "created_at", "response", "done"}
        assert (piece["model"], piece["done"]) == ("Echo", False)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", piece["created_at"])
        datetime.fromisoformat(piece["created_at"])
    assert (last["response"], last["done"], last["done_reason"]) == ("", True, "stop")
    assert {key for key in last if "duration" in key or "count" in key} == METRICS
    assert all(type(last[key]) is int and last[key] >= 0 for key in METRICS)
    assert (last["prompt_eval_count"], last["eval_count"]) == (3, 3)
    assert "error" not in last


async def test_a_whole_answer_is_one_object(served):
    """stream false concatenates the text and keeps all figures, context included."""
    status, answer = await served.json(
        "POST", PATH, {"model": "scripted:1b", "prompt": "hi", "stream": False}
    )
    assert (status, answer["response"], answer["done"]) == (200, "Hello", True)
    assert answer["context"] == [1, 2, 3]
    assert set(answer) >= METRICS
    assert answer["total_duration"] >= answer["load_duration"]


async def test_null_asks_for_nothing(served):
    """Every field may be null, and stream null streams."""
    names = (
        "suffix system template context raw format keep_alive images options think truncate shift "
        "stream logprobs top_logprobs"
    )
    lines = await _lines(served, {"model": "echo", "prompt": "a"} | dict.fromkeys(names.split()))
    assert lines[-1]["done"] is True


async def test_empty_values_ask_for_nothing(served):
    """Clients that send every field with its zero value are served."""
    empty = {
        "suffix": "",
        "system": "",
        "template": "",
        "context": [],
        "raw": False,
        "format": "",
        "images": [],
    }
    rest = {
        "options": {},
        "think": False,
        "truncate": True,
        "shift": True,
        "logprobs": False,
        "top_logprobs": 0,
    }
    assert (await _lines(served, {"model": "echo", "prompt": "a"} | empty | rest))[-1]["done"] is True


async def test_prompt_and_system_become_messages(served):
    """The prompt is a user's turn after the system text, with the ids of the exchange before."""
    asked = await _asked(served, system="be brief", context=[5, 6])
    assert asked.prompt == ChatPrompt(
        (Message(Role.SYSTEM, "be brief"), Message(Role.USER, "hi")), context=(5, 6)
    )


async def test_raw_reaches_the_model_as_it_is(served):
    """raw skips the template, and no context comes back."""
    asked = await _asked(served, raw=True)
    assert asked.prompt == TextPrompt("hi")
    answer = await served.json(
        "POST", PATH, {"model": "scripted:1b", "prompt": "hi", "raw": True, "stream": False}
    )
    assert "context" not in answer[1]


async def test_the_request_reaches_the_backend_whole(served):
    """Options, window, truncation and keep-alive arrive; the model's own parameters fill in."""
    asked = await _asked(
        served,
        options={"num_predict": 5, "num_ctx": 100, "seed": 3, "stop": ["a"]},
        truncate=False,
        keep_alive="1h",
    )
    assert (asked.sampling.max_tokens, asked.sampling.seed, asked.sampling.stop) == (5, 3, ("a",))
    assert (asked.sampling.temperature, asked.sampling.top_k) == (0.3, 7)
    assert (asked.context_length, asked.truncate, asked.keep_alive_seconds) == (100, False, 3600.0)
    plain = await _asked(served)
    assert (plain.context_length, plain.truncate, plain.keep_alive_seconds) == (None, True, None)
    assert (await _asked(served, keep_alive=-1)).keep_alive_seconds == math.inf
    assert plain.id != asked.id


async def test_equal_request_ids_make_different_generations(served):
    """Two clients that send one id do not get into each other's way."""
    body = {"model": "scripted:1b", "prompt": "hi", "stream": False}
    for _ in range(2):
        await served.json("POST", PATH, body, headers={"x-request-id": "same"})
    first, second = served.scripted.asked
    assert first.id != second.id
    assert first.id.startswith("same")


@pytest.mark.parametrize("prompt", [None, ""])
async def test_no_prompt_loads(served, prompt):
    """One object, no stream, no figures, no generation."""
    status, answer = await served.json("POST", PATH, {"model": "scripted:1b", "prompt": prompt})
    assert status == 200
    assert answer == {
        "model": "scripted:1b",
        "created_at": answer["created_at"],
        "response": "",
        "done": True,
        "done_reason": "load",
    }
    assert served.scripted.asked == []


@pytest.mark.parametrize("keep_alive", [0, "0", "0s"])
@pytest.mark.parametrize("model", ["scripted:1b", "vectors"])
async def test_no_prompt_and_no_keep_alive_unload(served, keep_alive, model):
    """Also for a model that only embeds, which cannot generate."""
    _, answer = await served.json("POST", PATH, {"model": model, "prompt": "", "keep_alive": keep_alive})
    assert (answer["response"], answer["done"], answer["done_reason"]) == ("", True, "unload")


async def test_log_probabilities_come_with_their_tokens(served):
    """Each entry has text, figure and bytes; half a character has no bytes, minus infinity is bounded."""

    async def script(_):
        yield PromptAccepted(1)
        entry = TokenLogprob("é", -0.5, (("é", -0.5), ("x", -math.inf)))
        yield TextDelta("é", (entry,))
        yield TextDelta("", (TokenLogprob("\ufffd", -1.0),))
        yield Finished(FinishReason.STOP, Usage(completion_tokens=2))

    served.scripted.script = script
    body = {"model": "scripted:1b", "prompt": "hi", "logprobs": True, "top_logprobs": 2}
    first, second, _ = await _lines(served, body)
    assert first["logprobs"] == [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [
                {"token": "é", "logprob": -0.5, "bytes": [195, 169]},
                {"token": "x", "logprob": -9999.0, "bytes": [120]},
            ],
        }
    ]
    assert second["logprobs"] == [{"token": "\ufffd", "logprob": -1.0}]
    assert served.scripted.asked[-1].sampling.top_logprobs == 2
    _, whole = await served.json("POST", PATH, body | {"stream": False})
    assert [entry["token"] for entry in whole["logprobs"]] == ["é", "\ufffd"]


@pytest.mark.parametrize(
    ("fields", "wanted"), [({}, None), ({"top_logprobs": 3}, None), ({"logprobs": True}, 0)]
)
async def test_log_probabilities_only_when_asked(served, fields, wanted):
    """top_logprobs alone asks for nothing."""
    assert (await _asked(served, **fields)).sampling.top_logprobs == wanted


async def test_cached_and_guessed_tokens_are_counted(served):
    """The last chunk tells what was known of the prompt, and what was guessed where anything was."""

    async def script(_):
        yield PromptAccepted(9)
        yield Finished(
            FinishReason.STOP, Usage(prompt_tokens=9, cached_tokens=6, drafted_tokens=5, accepted_tokens=2)
        )

    assert not {"draft_count", "draft_accepted_count"} & set(
        (await _lines(served, {"model": "echo", "prompt": "a"}))[-1]
    )
    served.scripted.script = script
    last = (await _lines(served, {"model": "scripted:1b", "prompt": "hi"}))[-1]
    assert (last["prompt_eval_count"], last["prompt_eval_cached_count"]) == (9, 6)
    assert (last["draft_count"], last["draft_accepted_count"]) == (5, 2)


async def test_a_cut_prompt_and_the_route_stand_in_headers(served):
    """The client can see that its prompt was cut and who served it."""

    async def script(_):
        yield PromptAccepted(4096, truncated=True)
        yield Finished(FinishReason.LENGTH, Usage())

    served.scripted.script = script
    for stream in (True, False):
        body = {"model": "scripted:1b", "prompt": "hi", "stream": stream}
        async with served.http.post(PATH, json=body) as response:
            assert response.headers["x-homeport-truncated"] == "1"
            assert response.headers["x-homeport-route"].startswith("backend=scripted; model=scripted:1b; ")
    async with served.http.post(PATH, json={"model": "echo", "prompt": "hi"}) as response:
        assert "x-homeport-truncated" not in response.headers


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
        ({"top_logprobs": -1, "model": ""}, 400, "top_logprobs must be between 0 and 20"),
        ({"model": ""}, 404, "model '' not found"),
        ({"model": None}, 404, "model '' not found"),
        ({"model": "nope:7b"}, 404, "model 'nope:7b' not found"),
        ({"model": "Nope"}, 404, "model 'Nope' not found"),
        ({"model": "../x"}, 400, "invalid model name"),
        ({"model": "a:b:local:cloud"}, 400, "use either :local or :cloud, not both:"),
        ({"model": "echo:cloud"}, 404, "model 'echo:cloud' not found"),
        ({"raw": True, "system": "x"}, 400, "raw mode does not support template, system, or context"),
        ({"raw": True, "template": "x"}, 400, "raw mode does not support template, system, or context"),
        ({"raw": True, "context": [1]}, 400, "raw mode does not support template, system, or context"),
        (
            {"think": "x"},
            400,
            'invalid think value: "x" (must be "high", "medium", "low", "max", true, or false)',
        ),
        ({"think": True}, 400, '"scripted:1b" does not support thinking'),
        ({"think": "low"}, 400, '"scripted:1b" does not support thinking'),
        ({"model": "vectors"}, 400, '"vectors" does not support generate'),
        ({"suffix": "x"}, 400, f"{FULL} does not support insert"),
        ({"images": ["aGk="]}, 400, f"{FULL} does not support vision"),
        (
            {"format": "xml"},
            400,
            'invalid format: "\\"xml\\""; expected "json" or a valid JSON Schema object',
        ),
        ({"format": 5}, 400, 'invalid format: "5"; expected "json" or a valid JSON Schema object'),
        ({"keep_alive": "-1"}, 400, 'time: missing unit in duration "-1"'),
        ({"keep_alive": "x"}, 400, 'time: invalid duration "x"'),
        ({"keep_alive": True}, 400, "keep_alive must be a number of seconds or a duration"),
        ({"options": {"num_ctx": "x"}}, 400, 'option "num_ctx" must be of type integer'),
        ({"prompt": "", "options": {"stop": "x"}}, 400, 'option "stop" must be of type array'),
        ({"options": {"temperature": -0.1}}, 400, 'option "temperature" must be at least 0, got -0.1'),
        ({"options": {"num_predict": -5}}, 400, 'option "num_predict" must be between -2 and'),
        ({"context": [-1]}, 400, "context[0] must be between 0 and 2147483647, got -1"),
    ],
)
async def test_what_cannot_be_served_is_named(served, fields, status, text):
    """Each refusal has its status and text, and reaches no backend."""
    answer = await served.json("POST", PATH, {"model": "scripted:1b", "prompt": "hi"} | fields)
    assert answer[0] == status
    assert answer[1]["error"].startswith(text)
    assert served.scripted.asked == []


async def test_an_unknown_model_comes_with_names_spelt_alike(served):
    """Suggestions stand beside the unchanged text."""
    status, answer = await served.json("POST", PATH, {"model": "scripted:1c", "prompt": "x"})
    assert (status, answer["error"]) == (404, "model 'scripted:1c' not found")
    assert "scripted:1b" in answer["suggestions"]


async def test_a_prompt_over_the_window_keeps_its_status(served):
    """An error before the first token is no 200."""

    async def script(_):
        yield PromptAccepted(1)
        raise ContextOverflowError("the prompt is longer than the window")

    served.scripted.script = script
    status, answer = await served.json(
        "POST", PATH, {"model": "scripted:1b", "prompt": "x", "truncate": False}
    )
    assert status == 400
    assert answer["error"] == "the prompt is longer than the window"
