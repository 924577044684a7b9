"""``POST /v1/messages`` and ``/v1/messages/count_tokens``."""

import asyncio
import json
import re

import pytest

from homeport import (
    BackendError,
    Finished,
    FinishReason,
    GenerationError,
    InvalidRequestError,
    Message,
    OverloadedError,
    PromptAccepted,
    Role,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
    Usage,
)
from homeport.domain.tools import ToolChoice

PATH = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
FULL = "registry.ollama.ai/library/speaking:1b"
HI = [{"role": "user", "content": "hi"}]
TOOL = {
    "name": "weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CALL = (
    ToolCallDelta(index=0, id="call_ab12cd34", name="weather"),
    ToolCallDelta(index=0, arguments='{"unit": "C", '),
    ToolCallDelta(index=0, arguments='"city": "Oslo"}'),
)


def _body(**fields: object) -> dict[str, object]:
    return {"model": "speaking:1b", "max_tokens": 50, "messages": HI} | fields


async def _asked(speaking, speaker, **fields: object):
    status, answer = await speaking.json("POST", PATH, _body(**fields))
    assert status == 200, answer
    return speaker.asked[-1]


async def _refusal(speaking, path: str = PATH, **fields: object) -> str:
    status, answer = await speaking.json("POST", path, _body(**fields))
    assert (status, answer["type"], answer["error"]["type"]) == (400, "error", "invalid_request_error")
    return answer["error"]["message"]


async def _events(served, **fields: object) -> list[dict]:
    async with served.http.post(PATH, json=_body(stream=True, **fields)) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        text = await response.text()
    events = []
    for frame in text.removesuffix("\n\n").split("\n\n"):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def _play(*events):
    async def script(_):
        for event in events:
            yield event

    return script


async def test_a_whole_answer(speaking):
    """One object with every field of Anthropic's, the cached tokens counted apart."""
    status, answer = await speaking.json("POST", PATH, _body())
    assert status == 200
    assert re.fullmatch(r"msg_[0-9a-f]{24}", answer["id"])
    assert answer == {
        "id": answer["id"],
        "type": "message",
        "role": "assistant",
        "model": "speaking:1b",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "output_tokens": 4,
            "cache_read_input_tokens": 2,
            "cache_creation_input_tokens": 0,
            "output_tokens_details": {"thinking_tokens": 1},
        },
    }


async def test_a_streamed_answer(speaking, speaker):
    """Blocks follow each other, each begun empty and ended, between the begin and the end of the message."""
    speaker.says = (ThoughtDelta("hm"), ThoughtDelta("m"), TextDelta("H"), TextDelta("i"), *CALL)
    start, *blocks, delta, stop = await _events(speaking)
    assert start["message"]["content"] == []
    assert start["message"]["usage"]["input_tokens"] == 5
    assert start["message"]["stop_reason"] is None
    assert blocks == [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "thinking", "thinking": "", "signature": ""},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "m"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "H"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "i"}},
        {"type": "content_block_stop", "index": 1},
        {
            "type": "content_block_start",
            "index": 2,
            "content_block": {"type": "tool_use", "id": "call_ab12cd34", "name": "weather", "input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 2,
            "delta": {"type": "input_json_delta", "partial_json": '{"unit": "C", '},
        },
        {
            "type": "content_block_delta",
            "index": 2,
            "delta": {"type": "input_json_delta", "partial_json": '"city": "Oslo"}'},
        },
        {"type": "content_block_stop", "index": 2},
    ]
    assert delta["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert delta["usage"]["output_tokens"] == 4
    assert stop == {"type": "message_stop"}


async def test_thoughts_and_calls_of_a_whole_answer(speaking, speaker):
    """A call's input is an object whose keys keep their order; thoughts carry an empty signature."""
    speaker.says = (ThoughtDelta("hm"), *CALL)
    async with speaking.http.post(PATH, json=_body(tools=[TOOL])) as response:
        answer = await response.json()
        assert '"input":{"unit":"C","city":"Oslo"}' in await response.text()
    thinking, call = answer["content"]
    assert thinking == {"type": "thinking", "thinking": "hm", "signature": ""}
    assert (call["type"], call["id"], call["name"]) == ("tool_use", "call_ab12cd34", "weather")
    assert answer["stop_reason"] == "tool_use"


async def test_a_call_that_was_cut(speaking, speaker):
    """It has no input, and the answer ends for its length."""
    speaker.says, speaker.reason = CALL[:2], FinishReason.LENGTH
    _, answer = await speaking.json("POST", PATH, _body())
    assert answer["content"][0]["input"] == {}
    assert answer["stop_reason"] == "max_tokens"


async def test_an_empty_answer_is_an_empty_text(speaking, speaker):
    """Whole and streamed: clients look at the first block."""
    speaker.says = ()
    _, answer = await speaking.json("POST", PATH, _body())
    assert answer["content"] == [{"type": "text", "text": ""}]
    assert [event["type"] for event in await _events(speaking)] == [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_a_stop_sequence_is_named(served):
    """Whole and streamed."""
    end = Finished(FinishReason.STOP, Usage(completion_tokens=1), stopped_by="END")
    served.scripted.script = _play(PromptAccepted(1), TextDelta("x"), end)
    _, answer = await served.json("POST", PATH, _body(model="scripted:1b", stop_sequences=["END"]))
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "END")
    assert served.scripted.asked[-1].sampling.stop == ("END",)
    *_, delta, _ = await _events(served, model="scripted:1b")
    assert delta["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


async def test_conversations_are_translated(speaking, speaker):
    """Results become messages of their own, tied to their calls; unknown blocks and marks are ignored."""
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"b": 1, "a": 2}},
                {"type": "novelty", "content": 3},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "text", "text": "rain"}, {"type": "text", "text": "wind"}],
                },
                {"type": "text", "text": "and?"},
            ],
        },
    ]
    system = [{"type": "text", "text": "be kind"}, {"type": "text", "text": "be brief"}]
    asked = await _asked(speaking, speaker, messages=messages, system=system, tools=[TOOL])
    first, question, answer, result, last = asked.prompt.messages
    assert first == Message(Role.SYSTEM, "be kind\nbe brief")
    assert question == Message(Role.USER, "a")
    assert (answer.content, answer.thinking) == ("I look.", "hm")
    assert [(call.id, call.name, call.arguments) for call in answer.tool_calls] == [
        ("toolu_1", "weather", '{"b":1,"a":2}')
    ]
    assert result == Message(Role.TOOL, "rain\nwind", tool_name="weather", tool_call_id="toolu_1")
    assert last == Message(Role.USER, "and?")


async def test_sampling_and_tools_are_translated(speaking, speaker):
    """Each field reaches the backend."""
    asked = await _asked(
        speaking,
        speaker,
        temperature=0.5,
        top_p=0.7,
        top_k=5,
        num_ctx=512,
        tools=[TOOL],
        tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 1024},
        output_config={"effort": "high"},
    )
    sampling, offer = asked.sampling, asked.prompt.tools
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 0.7, 5)
    assert (sampling.max_tokens, asked.context_length) == (50, 512)
    assert (offer.choice, offer.name, offer.parallel) == (ToolChoice.REQUIRED, "weather", False)
    assert offer.tools[0].parameters == TOOL["input_schema"]
    assert (asked.prompt.thinks, asked.prompt.effort) == (True, "high")


@pytest.mark.parametrize(
    ("path", "fields", "tokens"),
    [(PATH, {}, 1024), (PATH, {"num_ctx": 512}, 512), (COUNT, {}, 1024), (COUNT, {"num_ctx": 2}, 4)],
)
async def test_the_window_is_that_of_the_model_unless_the_request_names_one(served, path, fields, tokens):
    """A PARAMETER counts here as it does for Ollama's clients."""
    status, _ = await served.json("POST", path, _body(model="acme/tiny:q8") | fields)
    assert (status, served.scripted.asked[-1].context_length) == (200, tokens)


async def test_what_the_worker_refuses_is_spelt_as_the_client_did(speaking, speaker):
    """A form that cannot be had is no field of this API's."""
    speaker.error = InvalidRequestError("invalid format: no", field="format")
    form = {"type": "json_schema", "schema": {}}
    message = await _refusal(speaking, output_config={"format": form})
    assert message == "invalid output_config.format: no"


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [("auto", ToolChoice.AUTO), ("any", ToolChoice.REQUIRED), ("none", ToolChoice.NONE)],
)
async def test_choices_among_tools(speaking, speaker, choice, wanted):
    """Each of Anthropic's words has its counterpart."""
    asked = await _asked(speaking, speaker, tools=[TOOL], tool_choice={"type": choice})
    assert (asked.prompt.tools.choice, asked.prompt.tools.name) == (wanted, "")


async def test_who_does_not_ask_for_thoughts_gets_none(speaking, speaker):
    """As at Anthropic; adaptive leaves it to the model."""
    assert (await _asked(speaking, speaker)).prompt.thinks is False
    assert (await _asked(speaking, speaker, thinking={"type": "adaptive"})).prompt.thinks is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": ""}, "model is required"),
        ({"max_tokens": None}, "max_tokens is required and must be positive"),
        ({"max_tokens": 0}, "max_tokens is required and must be positive"),
        ({"messages": []}, "messages is required"),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "f"}]}]},
            "tool_use block missing required 'id' field",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
            "tool_result block missing required 'tool_use_id' field",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
            f"{FULL} does not support vision",
        ),
        ({"messages": [{"role": "bard", "content": "x"}]}, "messages[0].role must be one of user, assistant"),
        ({"messages": [{"role": "user"}]}, "messages[0].content: expected str or array"),
        ({"tools": [{"type": "web_search_20250305", "name": "s"}]}, "hosted tools are not supported"),
        ({"tool_choice": {"type": "maybe"}}, "tool_choice.type must be one of auto, any, tool, none"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, 'unknown tool "x"'),
        ({"thinking": {"type": "deep"}}, "thinking.type must be one of"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type must be json_schema"),
        (
            {"output_config": {"format": {"type": "json_schema"}}},
            "output_config.format.schema: expected object",
        ),
        ({"temperature": 3}, "temperature must be between 0 and 2"),
        ({"stop_sequences": ["x"] * 65}, "stop_sequences must hold at most 64"),
        ({"messages": "hi"}, "invalid request: messages: expected array, got str"),
    ],
)
async def test_bad_requests_name_what_is_wrong(speaking, fields, message):
    """Status 400 in Anthropic's form."""
    assert message in await _refusal(speaking, **fields)


async def test_a_form_is_a_constraint(speaking, speaker):
    """The schema reaches the backend, its keys in order."""
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    form = {"type": "json_schema", "schema": schema}
    asked = await _asked(speaking, speaker, output_config={"format": form})
    assert asked.constraint.source == '{"type":"object","properties":{"b":{},"a":{}}}'


async def test_an_answer_that_the_client_began(speaking, speaker):
    """A model that can goes on behind it and does not repeat it; another one reads it as a turn."""
    messages = [{"role": "user", "content": "one two three"}, {"role": "assistant", "content": "one two"}]
    _, answer = await speaking.json("POST", PATH, _body(model="echo", messages=messages))
    assert answer["content"] == [{"type": "text", "text": " three"}]
    asked = await _asked(speaking, speaker, messages=messages)
    assert (len(asked.prompt.messages), asked.begun) == (2, "")


async def test_an_answer_with_a_form_cannot_be_begun(speaking):
    """Its begin need not have the form."""
    messages = [*HI, {"role": "assistant", "content": "{"}]
    form = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    said = "the last message must not be the assistant's"
    assert said in await _refusal(speaking, messages=messages, output_config=form)
    assert said in await _refusal(speaking, messages=messages, tools=[TOOL], tool_choice={"type": "any"})


async def test_tools_need_a_model_that_knows_them(served):
    """The text is that of the other dialects."""
    status, answer = await served.json("POST", PATH, _body(model="scripted:1b", tools=[TOOL]))
    assert status == 400
    assert answer["error"]["message"] == "registry.ollama.ai/library/scripted:1b does not support tools"


async def test_errors_have_anthropics_form(speaking, speaker):
    """Unknown models, paths and verbs too, with the id of the request."""
    headers = {"x-request-id": "abc"}
    status, answer = await speaking.json("POST", PATH, _body(model="nope"), headers=headers)
    assert (status, answer["error"]["type"]) == (404, "not_found_error")
    assert (answer["request_id"], answer["type"]) == ("req_abc", "error")
    async with speaking.http.post(PATH, json=_body(), headers=headers) as response:
        assert response.headers["request-id"] == "req_abc"
    status, answer = await speaking.json("POST", f"{PATH}/batches", {})
    assert (status, answer["error"]) == (404, {"type": "not_found_error", "message": "404 page not found"})
    status, answer = await speaking.json("GET", PATH)
    assert (status, answer["error"]["type"]) == (405, "api_error")
    speaker.error = OverloadedError("full")
    status, answer = await speaking.json("POST", PATH, _body())
    assert (status, answer["error"]["type"]) == (503, "overloaded_error")


async def test_an_error_within_a_stream(served):
    """It is an event of its own, and nothing follows it."""

    async def script(_):
        yield PromptAccepted(1)
        yield TextDelta("x")
        message = "secret"
        raise GenerationError(message)

    served.scripted.script = script
    *_, error = await _events(served, model="scripted:1b")
    assert (error["type"], error["error"]["type"]) == ("error", "api_error")
    assert error["error"]["message"] == "an error was encountered while running the model"
    assert error["request_id"].startswith("req_")


async def test_a_silent_stream_has_ping_events(settings, serving):
    """Each is an event that clients know."""
    go_on = asyncio.Event()

    async def script(_):
        await go_on.wait()
        yield PromptAccepted(1)
        yield Finished(FinishReason.STOP, Usage())

    async with serving(settings, ping_seconds=0.01) as served:
        served.scripted.script = script
        async with served.http.post(PATH, json=_body(model="scripted:1b", stream=True)) as response:
            frame = await response.content.readuntil(b"\n\n")
            assert frame == b'event: ping\ndata: {"type":"ping"}\n\n'
            go_on.set()
            assert (await response.text()).endswith('data: {"type":"message_stop"}\n\n')


async def test_an_answer_that_begins_again(served):
    """What came is declared void by an event that other clients skip; blocks are counted on."""
    tries = []

    async def breaking_once(request):
        tries.append(request)
        yield PromptAccepted(1)
        yield TextDelta("one ")
        if len(tries) == 1:
            message = "broken"
            raise BackendError(message)
        yield Finished(FinishReason.STOP, Usage(prompt_tokens=1, completion_tokens=1))

    served.scripted.script = breaking_once
    events = await _events(served, model="scripted:1b", homeport={"on_stream_failure": "restart"})
    kinds = [event["type"] for event in events]
    assert kinds.count("message_start") == kinds.count("message_stop") == 1
    assert events[kinds.index("homeport")]["homeport"] == {"restarted": True, "index": 0}
    assert [event["index"] for event in events if event["type"] == "content_block_start"] == [0, 1]


async def test_an_error_behind_a_part_says_what_was_used(served):
    """As in the other dialects."""

    async def script(_):
        yield PromptAccepted(3)
        yield TextDelta("x")
        message = "broken"
        raise GenerationError(message)

    served.scripted.script = script
    *_, error = await _events(served, model="scripted:1b")
    assert error["error"]["partial"] is True
    assert error["error"]["usage"]["input_tokens"] == 3


async def test_tokens_are_counted_without_an_answer(speaking, speaker):
    """The backend is asked for nothing but the length of the prompt, which must not be cut."""
    status, answer = await speaking.json(
        "POST", COUNT, {"model": "speaking:1b", "messages": HI, "system": "s"}
    )
    assert (status, answer) == (200, {"input_tokens": 5})
    asked = speaker.asked[-1]
    assert (asked.sampling.max_tokens, asked.truncate) == (0, False)
    assert len(asked.prompt.messages) == 2


async def test_a_server_that_does_not_count(served):
    """501 where a server elsewhere refuses to, or does not tell."""
    served.scripted.script = _play(PromptAccepted(0), Finished(FinishReason.STOP, Usage()))
    body = {"model": "scripted:1b", "messages": HI}
    status, answer = await served.json("POST", COUNT, body)
    assert (status, answer["error"]["type"]) == (501, "api_error")

    async def refuse(_):
        message = "max_tokens is 0"
        raise InvalidRequestError(message, field="max_tokens")
        yield

    served.scripted.script = refuse
    assert (await served.json("POST", COUNT, body))[0] == 501


async def test_counting_checks_its_request(speaking):
    """As the answer would."""
    assert await _refusal(speaking, COUNT, messages=None) == "messages is required"
