"""Tools and calls on ``POST /api/chat``."""

import json

import pytest

from homeport import Finished, FinishReason, TextDelta, ThoughtDelta, ToolCallDelta, Usage
from homeport.domain.messages import Message, Role
from homeport.domain.tools import Tool, ToolCall, ToolOffer
from homeport.server.generations import Step
from homeport.server.ollama.chunks import ChunkEncoder, chat_form

PATH = "/api/chat"
FULL = "registry.ollama.ai/library/echo:latest"
BODY = {"model": "speaking:1b", "messages": [{"role": "user", "content": "weather?"}]}
TOOL = {"type": "function", "function": {"name": "f"}}
OSLO = {
    "id": "call_ab12cd34",
    "function": {"index": 0, "name": "weather", "arguments": {"unit": "C", "city": "Oslo"}},
}


async def _lines(served, **fields: object) -> list[dict]:
    async with served.http.post(PATH, json=BODY | fields) as response:
        assert (response.status, response.content_type) == (200, "application/x-ndjson")
        return [json.loads(line) for line in (await response.text()).splitlines()]


async def _whole(served, **fields: object) -> dict:
    status, answer = await served.json("POST", PATH, BODY | {"stream": False} | fields)
    assert status == 200, answer
    return answer


async def test_tools_reach_the_model(speaking, speaker, weather):
    """Names, words and schemas, the keys in the order of the client; unknown fields are ignored."""
    await _whole(speaking, tools=[weather.tool | {"items": {}}, {"function": {"name": "now"}}])
    offer = speaker.asked[0].prompt.tools
    parameters = weather.tool["function"]["parameters"]
    assert offer == ToolOffer(
        tools=(
            Tool(name="weather", description="Tells the weather.", parameters=parameters),
            Tool(name="now"),
        )
    )
    assert list(offer.tools[0].parameters["properties"]) == ["unit", "city"]


async def test_a_call_is_whole_in_one_line(speaking, speaker, weather):
    """Its arguments are an object in the order of the model, and content is a text."""
    speaker.says = [TextDelta("Look"), *weather.call()]
    text, call, last = await _lines(speaking, tools=[weather.tool])
    assert text["message"] == {"role": "assistant", "content": "Look"}
    assert call["message"] == {"role": "assistant", "content": "", "tool_calls": [OSLO]}
    assert list(call["message"]["tool_calls"][0]["function"]["arguments"]) == ["unit", "city"]
    assert set(call) == {"model", "created_at", "message", "done"}
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["done_reason"], last["eval_count"]) == ("stop", 4)


async def test_each_call_has_a_line_of_its_own(speaking, speaker, weather):
    """In order, as soon as it is whole; text behind them comes behind them."""
    speaker.says = [*weather.call(), *weather.call(1, "call_00000001", "Rom"), TextDelta("!")]
    first, second, text, _ = await _lines(speaking, tools=[weather.tool])
    assert first["message"]["tool_calls"] == [OSLO]
    (rome,) = second["message"]["tool_calls"]
    assert (rome["id"], rome["function"]["index"]) == ("call_00000001", 1)
    assert rome["function"]["arguments"]["city"] == "Rom"
    assert text["message"]["content"] == "!"


async def test_a_whole_answer_holds_all_calls(speaking, speaker, weather):
    """Beside text and thoughts."""
    speaker.says = [ThoughtDelta("hm"), TextDelta("Look"), *weather.call(), *weather.call(1, "call_b", "Rom")]
    answer = await _whole(speaking, tools=[weather.tool])
    message = answer["message"]
    assert (message["content"], message["thinking"]) == ("Look", "hm")
    assert message["tool_calls"][0] == OSLO
    assert [call["function"]["index"] for call in message["tool_calls"]] == [0, 1]
    assert answer["done_reason"] == "stop"


@pytest.mark.parametrize("arguments", ['{\n  "a": 1.50,\n  "b": "x y"\n}', '{"a":1.50,"b":"x y"}'])
async def test_arguments_stay_on_the_line(speaking, speaker, arguments):
    """What the model wrote over several lines does not break the stream, and figures keep their form."""
    speaker.says = [ToolCallDelta(index=0, id="c", name="f", arguments=arguments)]
    async with speaking.http.post(PATH, json=BODY) as response:
        lines = (await response.text()).splitlines()
    assert len(lines) == 2
    assert '"arguments":{"a":1.50,"b":"x y"}' in lines[0]


async def test_a_call_without_arguments_has_an_empty_object(speaking, speaker):
    """Clients want a mapping."""
    speaker.says = [ToolCallDelta(index=0, id="c", name="now")]
    (call,) = (await _whole(speaking))["message"]["tool_calls"]
    assert call["function"] == {"index": 0, "name": "now", "arguments": {}}


async def test_a_call_that_was_cut_is_text(speaking, speaker, weather):
    """It has no object of arguments, and done_reason says why."""
    speaker.says = weather.call()[:2]
    speaker.reason = FinishReason.LENGTH
    piece, last = await _lines(speaking)
    assert piece["message"] == {"role": "assistant", "content": '{"unit": "C", '}
    assert last["done_reason"] == "length"
    assert (await _whole(speaking))["message"] == piece["message"]


async def test_calls_and_results_reach_the_model(speaking, speaker):
    """Objects and texts of arguments, results by name and by id."""
    calls = [
        {"id": "a", "function": {"index": 0, "name": "weather", "arguments": {"city": "Oslo"}}},
        {"function": {"name": "now", "arguments": '{"zone": "UTC"}'}},
    ]
    messages = [
        *BODY["messages"],
        {"role": "assistant", "thinking": "hm", "tool_calls": calls},
        {"role": "tool", "content": "noon", "tool_name": "now"},
        {"role": "tool", "content": "rain", "tool_call_id": "a"},
    ]
    await _whole(speaking, messages=messages)
    assert speaker.asked[0].prompt.messages[1:] == (
        Message(
            Role.ASSISTANT,
            "",
            thinking="hm",
            tool_calls=(
                ToolCall(id="a", name="weather", arguments='{"city":"Oslo"}'),
                ToolCall(id="call_00000001", name="now", arguments='{"zone": "UTC"}'),
            ),
        ),
        Message(Role.TOOL, "noon", tool_name="now", tool_call_id="call_00000001"),
        Message(Role.TOOL, "rain", tool_name="weather", tool_call_id="a"),
    )


async def test_a_call_that_was_declared_void_is_forgotten(weather):
    """Where another backend begins again, the pieces of the first one do not join those of the second."""
    encoder = ChunkEncoder(model="m", form=chat_form, arrived_at=0.0)
    for delta in weather.call()[:2]:
        assert list(encoder.encode(Step(0, delta))) == []
    (mark,) = encoder.restart(0)
    assert mark.homeport.restarted
    for delta in weather.call(city="Rom"):
        assert list(encoder.encode(Step(0, delta))) == []
    call, _ = encoder.encode(Step(0, Finished(FinishReason.STOP, Usage())))
    assert json.loads(bytes(call.message.tool_calls[0].function.arguments))["city"] == "Rom"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"model": "echo", "tools": [TOOL]}, f"{FULL} does not support tools"),
        ({"tools": [{"type": "web_search"}]}, 'tools[0].type must be "function", got "web_search"'),
        ({"tools": [{"type": "function"}]}, "tools[0].function is required"),
        ({"tools": [{"function": {}}]}, "tools[0].function.name must be 1 to 64 letters"),
        ({"tools": [TOOL, TOOL]}, 'tools must have different names, got "f" twice'),
        ({"tools": [TOOL] * 129}, "tools must hold at most 128 tools, got 129"),
        ({"tools": {}}, "invalid request: tools: expected array, got object"),
        (
            {"tools": [{"function": {"name": "f", "parameters": []}}]},
            "invalid request: tools[0].function.parameters: expected object, got array",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "x"}}]}
                ]
            },
            'messages[0].tool_calls[0].function.arguments must be an object of JSON, got "x"',
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{}]}]},
            "messages[0].tool_calls[0].function.name is required",
        ),
    ],
)
async def test_what_cannot_be_called_is_named(speaking, speaker, fields, text):
    """Each refusal is a 400 that names the field, and reaches no backend."""
    status, answer = await speaking.json("POST", PATH, BODY | fields)
    assert status == 400
    assert answer["error"].startswith(text)
    assert speaker.asked == []
