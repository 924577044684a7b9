"""Thoughts on ``POST /api/generate`` and ``POST /api/chat``."""

import json

import pytest

from homeport import TextDelta, ThoughtDelta, TokenLogprob, ToolCallDelta

CHAT = ("/api/chat", {"model": "speaking:1b", "messages": [{"role": "user", "content": "why?"}]})
GENERATE = ("/api/generate", {"model": "speaking:1b", "prompt": "why?"})


@pytest.mark.parametrize(("path", "body"), [CHAT, GENERATE])
@pytest.mark.parametrize(
    "asked", [(None, None, ""), (True, True, ""), (False, False, ""), ("high", True, "high")]
)
async def test_what_was_asked_for_reaches_the_model(speaking, speaker, path, body, asked):
    """Nothing leaves it to the model, which thinks if it can."""
    think, thinks, effort = asked
    status, _ = await speaking.json("POST", path, body | {"think": think, "stream": False})
    assert status == 200
    prompt = speaker.asked[0].prompt
    assert (prompt.thinks, prompt.effort) == (thinks, effort)


async def test_chat_tells_thoughts_beside_the_text(speaking, speaker):
    """In the message; content is a text also where there is none."""
    path, body = CHAT
    speaker.says = [ThoughtDelta("h"), ThoughtDelta("m"), TextDelta("so")]
    async with speaking.http.post(path, json=body) as response:
        lines = [json.loads(line) for line in (await response.text()).splitlines()]
    assert [line["message"] for line in lines] == [
        {"role": "assistant", "content": "", "thinking": "h"},
        {"role": "assistant", "content": "", "thinking": "m"},
        {"role": "assistant", "content": "so"},
        {"role": "assistant", "content": ""},
    ]
    _, whole = await speaking.json("POST", path, body | {"stream": False})
    assert whole["message"] == {"role": "assistant", "content": "so", "thinking": "hm"}


async def test_generate_tells_thoughts_beside_the_text(speaking, speaker):
    """In the line itself, calls too where a model makes some."""
    path, body = GENERATE
    speaker.says = [ThoughtDelta("hm"), TextDelta("so"), ToolCallDelta(index=0, id="c", name="f")]
    async with speaking.http.post(path, json=body) as response:
        first, second, third, last = [json.loads(line) for line in (await response.text()).splitlines()]
    assert (first["response"], first["thinking"]) == ("", "hm")
    assert second["response"] == "so"
    assert "thinking" not in second
    assert third["tool_calls"] == [{"id": "c", "function": {"index": 0, "name": "f", "arguments": {}}}]
    assert last["done"]
    _, whole = await speaking.json("POST", path, body | {"stream": False})
    assert (whole["response"], whole["thinking"], whole["tool_calls"]) == ("so", "hm", third["tool_calls"])


async def test_log_probabilities_are_those_of_thoughts_too(speaking, speaker):
    """Those of a stream add up to those of a whole answer."""
    path, body = CHAT
    speaker.says = [
        ThoughtDelta("hm", (TokenLogprob("hm", -0.5),)),
        TextDelta("so", (TokenLogprob("so", -1.5),)),
        ToolCallDelta(index=0, id="c", name="f", logprobs=(TokenLogprob("<f>", -2.5),)),
    ]
    async with speaking.http.post(path, json=body | {"logprobs": True}) as response:
        lines = [json.loads(line) for line in (await response.text()).splitlines()]
    streamed = [entry["token"] for line in lines for entry in line.get("logprobs", [])]
    _, whole = await speaking.json("POST", path, body | {"logprobs": True, "stream": False})
    assert streamed == [entry["token"] for entry in whole["logprobs"]] == ["hm", "so", "<f>"]
