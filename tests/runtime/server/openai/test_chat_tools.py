"""Tools and calls on ``POST /v1/chat/completions``."""

import json

import pytest

from homeport import FinishReason, TextDelta, ThoughtDelta, TokenLogprob, ToolCallDelta
from homeport.domain.messages import Message, Role
from homeport.domain.tools import Tool, ToolCall, ToolChoice

PATH = "/v1/chat/completions"
HI = [{"role": "user", "content": "weather?"}]
BODY = {"model": "speaking:1b", "messages": HI}
F, G = ({"type": "function", "function": {"name": name}} for name in "fg")
OSLO = {
    "id": "call_ab12cd34",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"unit": "C", "city": "Oslo"}'},
}


async def _whole(served, **fields: object) -> dict:
    status, answer = await served.json("POST", PATH, BODY | fields)
    assert status == 200, answer
    return answer


async def _chunks(served, **fields: object) -> list[dict]:
    async with served.http.post(PATH, json=BODY | {"stream": True} | fields) as response:
        assert response.status == 200, await response.text()
        *events, end, rest = (await response.text()).split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


async def _offer(served, speaker, **fields: object):
    await _whole(served, **fields)
    return speaker.asked[-1].prompt.tools


async def test_tools_reach_the_model(speaking, speaker, weather):
    """Names, words and schemas, the keys in the order of the client."""
    offer = await _offer(speaking, speaker, tools=[weather.tool, F])
    function = weather.tool["function"]
    assert offer.tools == (
        Tool(name="weather", description="Tells the weather.", parameters=function["parameters"]),
        Tool(name="f"),
    )
    assert list(offer.tools[0].parameters["properties"]) == ["unit", "city"]
    assert (offer.choice, offer.name, offer.parallel) == (ToolChoice.AUTO, "", True)


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (None, (ToolChoice.AUTO, "", ["f", "g"])),
        ("auto", (ToolChoice.AUTO, "", ["f", "g"])),
        ("none", (ToolChoice.NONE, "", ["f", "g"])),
        ("required", (ToolChoice.REQUIRED, "", ["f", "g"])),
        ({"type": "function", "function": {"name": "g"}}, (ToolChoice.REQUIRED, "g", ["f", "g"])),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [G]}},
            (ToolChoice.AUTO, "", ["g"]),
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [G, F]}},
            (ToolChoice.REQUIRED, "", ["f", "g"]),
        ),
    ],
)
async def test_the_choice_is_kept(speaking, speaker, choice, wanted):
    """All forms of it, and whether several calls are welcome."""
    offer = await _offer(speaking, speaker, tools=[F, G], tool_choice=choice, parallel_tool_calls=False)
    assert (offer.choice, offer.name, [tool.name for tool in offer.tools]) == wanted
    assert not offer.parallel


async def test_a_choice_that_wants_nothing_needs_no_tools(speaking, speaker):
    """Clients that always send it are served, and a model without tools never calls."""
    for choice in (None, "none", "auto"):
        assert await _offer(speaking, speaker, tool_choice=choice, tools=[]) is None
    status, _ = await speaking.json(
        "POST", PATH, BODY | {"model": "echo", "tools": [F], "tool_choice": "none"}
    )
    assert status == 200


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (PATH, {"tools": [F]}),
        (PATH, {"functions": [F["function"]]}),
        ("/api/chat", {"tools": [F]}),
        ("/v1/responses", {"input": "hi", "tools": [F["function"] | {"type": "function"}]}),
        ("/v1/messages", {"max_tokens": 5, "tools": [F["function"]]}),
        ("/v1/messages/count_tokens", {"tools": [F["function"]]}),
    ],
)
async def test_where_a_name_leaves_a_choice_a_model_with_tools_is_taken(speaking, speaker, path, fields):
    """Although others of that name cannot call."""
    status, answer = await speaking.json("POST", path, BODY | {"model": "auto", "stream": False} | fields)
    assert (status, len(speaker.asked)) == (200, 1), answer


async def test_calls_of_several_choices_are_told_apart(speaking, speaker, weather):
    """Each choice has pieces of its own, which add up, and a reason."""
    speaker.says = weather.call()
    told: dict[int, str] = {}
    reasons = {}
    for chunk in await _chunks(speaking, tools=[weather.tool], n=2, stream_options={"include_usage": True}):
        for choice in chunk["choices"]:
            reasons[choice["index"]] = choice["finish_reason"]
            for call in choice["delta"].get("tool_calls", []):
                assert call["index"] == 0
                told[choice["index"]] = told.get(choice["index"], "") + call["function"]["arguments"]
    assert told == dict.fromkeys((0, 1), '{"unit": "C", "city": "Oslo"}')
    assert reasons == {0: "tool_calls", 1: "tool_calls"}


async def test_a_choice_cannot_list_more_tools_than_there_may_be(speaking):
    """Their number is no way to keep the server busy."""
    listed = {"mode": "auto", "tools": [F] * 129}
    body = BODY | {"tools": [F], "tool_choice": {"type": "allowed_tools", "allowed_tools": listed}}
    status, answer = await speaking.json("POST", PATH, body)
    assert status == 400
    assert (
        answer["error"]["message"] == "tool_choice.allowed_tools.tools must hold at most 128 tools, got 129"
    )


async def test_a_route_can_be_explained_with_tools(speaking):
    """Who cannot call is refused, with the reason."""
    body = BODY | {"model": "auto", "tools": [F]}
    status, answer = await speaking.json("POST", "/v1/routes/explain", body)
    assert status == 200
    assert answer["chosen"]["backend"] == "speaking"
    assert "does not offer tools" in {refusal["reason"] for refusal in answer["refusals"]}


async def test_a_whole_answer_of_calls_has_no_content(speaking, speaker, weather):
    """Arguments are a text, and the reason says that there are calls."""
    speaker.says = [*weather.call(), *weather.call(1, "call_b", "Rom")]
    answer = await _whole(speaking, tools=[weather.tool])
    (choice,) = answer["choices"]
    message = choice["message"]
    assert (message["role"], message["content"], message["refusal"]) == ("assistant", None, None)
    assert message["tool_calls"][0] == OSLO
    assert [call["id"] for call in message["tool_calls"]] == ["call_ab12cd34", "call_b"]
    assert choice["finish_reason"] == "tool_calls"
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 1}


async def test_text_and_thoughts_stand_beside_calls(speaking, speaker, weather):
    """Content is what was said, reasoning what was thought."""
    speaker.says = [ThoughtDelta("h"), ThoughtDelta("m"), TextDelta("Look"), *weather.call()]
    message = (await _whole(speaking, tools=[weather.tool]))["choices"][0]["message"]
    assert (message["content"], message["reasoning"]) == ("Look", "hm")
    assert message["tool_calls"] == [OSLO]


async def test_a_call_is_streamed_in_pieces(speaking, speaker, weather):
    """First its head with empty arguments, then only arguments; the index is on all."""
    speaker.says = [ThoughtDelta("hm"), *weather.call(), *weather.call(1, "call_b")]
    chunks = await _chunks(speaking, tools=[weather.tool])
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[:3] == [
        {"role": "assistant", "content": ""},
        {"reasoning": "hm"},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_ab12cd34",
                    "type": "function",
                    "function": {"name": "weather", "arguments": ""},
                }
            ]
        },
    ]
    assert deltas[3] == {"tool_calls": [{"index": 0, "function": {"arguments": '{"unit": "C", '}}]}
    assert deltas[4] == {"tool_calls": [{"index": 0, "function": {"arguments": '"city": "Oslo"}'}}]}
    assert [delta["tool_calls"][0]["index"] for delta in deltas[5:8]] == [1, 1, 1]
    assert deltas[8] == {}
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * 8 + ["tool_calls"]


async def test_a_call_in_one_piece_is_split(speaking, speaker):
    """The head never holds arguments; log-probabilities come with the last part."""
    logprobs = (TokenLogprob("<call>", -0.5),)
    speaker.says = [ToolCallDelta(index=0, id="c", name="f", arguments="{}", logprobs=logprobs)]
    _, head, tail, _ = await _chunks(speaking, tools=[F], logprobs=True)
    assert head["choices"][0]["delta"]["tool_calls"][0]["function"] == {"name": "f", "arguments": ""}
    assert tail["choices"][0]["delta"]["tool_calls"][0] == {"index": 0, "function": {"arguments": "{}"}}
    assert head["choices"][0]["logprobs"] is None
    assert [entry["token"] for entry in tail["choices"][0]["logprobs"]["content"]] == ["<call>"]


@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.LENGTH])
async def test_pieces_of_arguments_add_up_to_an_object(speaking, speaker, reason):
    """Also where a call has none, unless it was cut."""
    speaker.says = [ToolCallDelta(index=0, id="a", name="f"), ToolCallDelta(index=1, id="b", name="g")]
    speaker.reason = reason
    told = ["", ""]
    for chunk in await _chunks(speaking, tools=[F, G]):
        for call in chunk["choices"][0]["delta"].get("tool_calls", []):
            told[call["index"]] += call["function"]["arguments"]
    assert told == ["{}", "{}" if reason is FinishReason.STOP else ""]


async def test_a_call_that_was_cut_keeps_its_reason(speaking, speaker, weather):
    """A bound of length is no end of a call."""
    speaker.says = weather.call()[:2]
    speaker.reason = FinishReason.LENGTH
    assert (await _whole(speaking))["choices"][0]["finish_reason"] == "length"
    assert (await _chunks(speaking))[-1]["choices"][0]["finish_reason"] == "length"


async def test_functions_are_tools_of_old(speaking, speaker, weather):
    """The older fields are understood, and answered in their own shape."""
    body = {"functions": [weather.tool["function"]], "function_call": {"name": "weather"}}
    speaker.says = weather.call()
    (choice,) = (await _whole(speaking, **body))["choices"]
    assert choice["message"]["function_call"] == OSLO["function"]
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "function_call"
    offer = speaker.asked[0].prompt.tools
    assert (offer.choice, offer.name, offer.parallel) == (ToolChoice.REQUIRED, "weather", False)
    deltas = [chunk["choices"][0]["delta"] for chunk in await _chunks(speaking, **body)]
    assert deltas[1:3] == [
        {"function_call": {"name": "weather", "arguments": ""}},
        {"function_call": {"arguments": '{"unit": "C", '}},
    ]


async def test_calls_and_results_reach_the_model(speaking, speaker):
    """By id, in the newer form and in the older one."""
    messages = [
        *HI,
        {
            "role": "assistant",
            "content": None,
            "reasoning": "hm",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "1"}]},
        {"role": "assistant", "function_call": {"name": "g", "arguments": ""}},
        {"role": "function", "name": "g", "content": "2"},
    ]
    await _whole(speaking, messages=messages)
    assert speaker.asked[0].prompt.messages[1:] == (
        Message(
            Role.ASSISTANT,
            "",
            thinking="hm",
            tool_calls=(ToolCall(id="a", name="f", arguments='{"x":1}'),),
        ),
        Message(Role.TOOL, "1", tool_name="f", tool_call_id="a"),
        Message(Role.ASSISTANT, "", tool_calls=(ToolCall(id="call_00000001", name="g"),)),
        Message(Role.TOOL, "2", tool_name="g", tool_call_id="call_00000001"),
    )


@pytest.mark.parametrize(
    ("fields", "param", "text"),
    [
        (
            {"model": "echo", "tools": [F]},
            "tools",
            "registry.ollama.ai/library/echo:latest does not support tools",
        ),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type", 'tools[0].type must be "function"'),
        ({"tools": [F, {}]}, "tools[1].function", "tools[1].function is required"),
        ({"tools": [F, F]}, "tools", 'tools must have different names, got "f" twice'),
        ({"tool_choice": "required"}, "tool_choice", "tool_choice needs tools to choose from, got none"),
        ({"tool_choice": "maybe"}, "tool_choice", "tool_choice must be none, auto, required, a function"),
        ({"tool_choice": {"type": "function"}}, "tool_choice", "tool_choice must be none, auto, required"),
        (
            {"tools": [F], "tool_choice": {"type": "function", "function": {"name": "h"}}},
            "tool_choice",
            'tool_choice names an unknown tool "h"; tools: f',
        ),
        (
            {"tools": [F], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}},
            "tool_choice",
            "tool_choice must be none, auto, required",
        ),
        (
            {
                "tools": [F],
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
            },
            "tool_choice",
            "tool_choice.allowed_tools.tools must list functions, got []",
        ),
        (
            {
                "tools": [F],
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [G]}},
            },
            "tool_choice",
            'tool_choice.allowed_tools.tools names an unknown tool "g"',
        ),
        (
            {
                "tools": [F],
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [5]}},
            },
            "tool_choice",
            "tool_choice.allowed_tools.tools must list functions, got 5",
        ),
        ({"tools": [F], "functions": [{"name": "f"}]}, "functions", "functions cannot stand beside tools"),
        (
            {"functions": [{"name": "f"}], "function_call": {"name": "h"}},
            "function_call",
            'function_call names an unknown tool "h"; tools: f',
        ),
        (
            {"functions": [{"name": "f"}], "function_call": "always"},
            "function_call",
            'function_call must be none, auto or a name, got "always"',
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "["}}]}
                ]
            },
            "messages[0].tool_calls[0].function.arguments",
            "messages[0].tool_calls[0].function.arguments must be an object of JSON",
        ),
    ],
)
async def test_what_cannot_be_called_is_named(speaking, speaker, fields, param, text):
    """Each refusal is a 400 that names the field, and reaches no backend."""
    status, answer = await speaking.json("POST", PATH, BODY | fields)
    assert (status, answer["error"]["param"]) == (400, param)
    assert answer["error"]["message"].startswith(text)
    assert speaker.asked == []
