"""``POST /v1/responses``."""

import json
import re

import openai
import pydantic
import pytest

from homeport import (
    BackendError,
    Finished,
    FinishReason,
    GenerationError,
    Message,
    PromptAccepted,
    Role,
    TextDelta,
    ThoughtDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from homeport.domain.constraint import ConstraintKind
from homeport.domain.tools import ToolChoice

PATH = "/v1/responses"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}
CALL = (
    ToolCallDelta(index=0, id="call_ab12cd34", name="weather"),
    ToolCallDelta(index=0, arguments='{"city": '),
    ToolCallDelta(index=0, arguments='"Oslo"}'),
)
USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 9,
}


def _body(**fields: object) -> dict[str, object]:
    return {"model": "speaking:1b", "input": "hi"} | fields


async def _asked(speaking, speaker, **fields: object):
    status, answer = await speaking.json("POST", PATH, _body(**fields))
    assert status == 200, answer
    return speaker.asked[-1]


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
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


@pytest.fixture
async def client(speaking):
    async with openai.AsyncOpenAI(
        base_url=f"{speaking.url}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


async def test_a_whole_response(speaking):
    """Every field is there, those that were not sent with what they stand for."""
    status, answer = await speaking.json("POST", PATH, _body(metadata={"a": "b"}))
    assert status == 200
    assert re.fullmatch(r"resp_[0-9a-f]{24}", answer["id"])
    (item,) = answer["output"]
    assert answer == {
        "id": answer["id"],
        "object": "response",
        "created_at": answer["created_at"],
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {"a": "b"},
        "model": "speaking:1b",
        "output": [
            {
                "type": "message",
                "id": item["id"],
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}],
            }
        ],
        "parallel_tool_calls": True,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "auto",
        "usage": USAGE,
    }
    assert type(answer["created_at"]) is int


async def test_the_events_of_a_stream(speaking, speaker):
    """Thoughts, text and a call in the order of OpenAI, each item begun before its pieces and then ended."""
    speaker.says = (ThoughtDelta("hm"), TextDelta("H"), TextDelta("i"), *CALL)
    events = await _events(speaking)
    told = [(event["type"].removeprefix("response."), event.get("output_index")) for event in events]
    assert told == [
        ("created", None),
        ("in_progress", None),
        ("output_item.added", 0),
        ("reasoning_summary_part.added", 0),
        ("reasoning_summary_text.delta", 0),
        ("reasoning_summary_text.done", 0),
        ("reasoning_summary_part.done", 0),
        ("output_item.done", 0),
        ("output_item.added", 1),
        ("content_part.added", 1),
        ("output_text.delta", 1),
        ("output_text.delta", 1),
        ("output_text.done", 1),
        ("content_part.done", 1),
        ("output_item.done", 1),
        ("output_item.added", 2),
        ("function_call_arguments.delta", 2),
        ("function_call_arguments.delta", 2),
        ("function_call_arguments.done", 2),
        ("output_item.done", 2),
        ("completed", None),
    ]
    first, last = events[0]["response"], events[-1]["response"]
    assert (first["status"], first["output"], first["usage"]) == ("in_progress", [], None)
    assert (last["id"], last["status"], last["usage"]) == (first["id"], "completed", USAGE)
    assert last["output"] == [event["item"] for event in events if event["type"].endswith("item.done")]
    reasoning, message, call = last["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert message["content"][0]["text"] == "Hi"
    assert (call["call_id"], call["arguments"]) == ("call_ab12cd34", '{"city": "Oslo"}')
    assert all("logprobs" in event for event in events if "output_text" in event["type"])


@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.LENGTH])
async def test_pieces_of_arguments_add_up_to_an_object(speaking, speaker, reason):
    """Also where a call has none, unless it was cut."""
    speaker.says = [
        ToolCallDelta(index=0, id="a", name="weather"),
        ToolCallDelta(index=1, id="b", name="weather"),
    ]
    speaker.reason = reason
    told = ["", ""]
    done = []
    for event in await _events(speaking, tools=[TOOL]):
        match event["type"].removeprefix("response."):
            case "function_call_arguments.delta":
                told[event["output_index"]] += event["delta"]
            case "function_call_arguments.done":
                done.append(event["arguments"])
            case "output_item.done":
                assert event["item"]["arguments"] == done[-1]
    assert told == done == ["{}", "{}" if reason is FinishReason.STOP else ""]


async def test_a_choice_cannot_list_more_tools_than_there_may_be(speaking):
    """Their number is no way to keep the server busy."""
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"name": "weather"}] * 129}
    status, answer = await speaking.json("POST", PATH, _body(tools=[TOOL], tool_choice=choice))
    assert (status, answer["error"]["message"]) == (
        400,
        "tool_choice.tools must hold at most 128 tools, got 129",
    )


async def test_an_answer_that_was_cut(speaking, speaker):
    """It says that it is incomplete, and why, whole and streamed."""
    speaker.reason = FinishReason.LENGTH
    _, answer = await speaking.json("POST", PATH, _body(max_output_tokens=4))
    assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert answer["output"][0]["status"] == "incomplete"
    last = (await _events(speaking))[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "incomplete")


async def test_an_empty_answer_is_an_empty_message(speaking, speaker):
    """Whole and streamed."""
    speaker.says = ()
    _, answer = await speaking.json("POST", PATH, _body())
    assert answer["output"][0]["content"][0]["text"] == ""
    assert (await _events(speaking))[-1]["response"]["output"][0]["content"][0]["text"] == ""


async def test_conversations_are_translated(speaking, speaker):
    """Thoughts and calls go to their assistant's message, and results name their tool."""
    sent = [
        {"role": "developer", "content": "be brief"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Rain?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Oslo"}'},
        {"type": "function_call", "call_id": "c2", "name": "clock", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "noon"}]},
    ]
    asked = await _asked(speaking, speaker, input=sent, instructions="be kind")
    first, second, question, answer, rain, noon = asked.prompt.messages
    assert [first.content, second.content, question.content] == ["be kind", "be brief", "Rain?"]
    assert first.role is second.role is Role.SYSTEM
    assert (answer.role, answer.content, answer.thinking) == (Role.ASSISTANT, "I look.", "hm")
    assert [call.name for call in answer.tool_calls] == ["weather", "clock"]
    assert rain == Message(Role.TOOL, "rain", tool_call_id="c1", tool_name="weather")
    assert noon == Message(Role.TOOL, "noon", tool_call_id="c2", tool_name="clock")


async def test_fields_are_translated(speaking, speaker):
    """Each one reaches the backend, and stands in the answer."""
    fields = {
        "tools": [TOOL],
        "tool_choice": {"type": "function", "name": "weather"},
        "parallel_tool_calls": False,
        "temperature": 0.5,
        "top_p": 0.7,
        "max_output_tokens": 9,
        "reasoning": {"effort": "xhigh"},
        "truncation": "disabled",
        "text": {"format": {"type": "json_schema", "name": "city", "schema": PARAMETERS, "strict": True}},
    }
    status, answer = await speaking.json("POST", PATH, _body(**fields))
    assert status == 200
    asked = speaker.asked[-1]
    sampling, offer = asked.sampling, asked.prompt.tools
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.5, 0.7, 9)
    assert (offer.choice, offer.name, offer.parallel) == (ToolChoice.REQUIRED, "weather", False)
    assert (asked.prompt.thinks, asked.prompt.effort, asked.truncate) == (True, "max", False)
    assert asked.constraint.kind is ConstraintKind.JSON_SCHEMA
    assert json.loads(asked.constraint.source) == PARAMETERS
    for field in ("tool_choice", "parallel_tool_calls", "temperature", "max_output_tokens", "truncation"):
        assert answer[field] == fields[field]
    assert answer["tools"] == [TOOL | {"description": None}]
    assert answer["text"]["format"] == fields["text"]["format"]


async def test_fields_that_are_ignored(speaking):
    """What OpenAI keeps or bills is accepted whatever it is."""
    ignored = {
        "include": ["reasoning.encrypted_content"],
        "store": True,
        "user": "u",
        "service_tier": "auto",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "stream_options": {"include_obfuscation": False},
        "background": False,
        "previous_response_id": None,
    }
    status, answer = await speaking.json("POST", PATH, _body(**ignored))
    assert status == 200
    assert answer["store"] is False
    assert "service_tier" not in answer


async def test_logprobs_are_reported(served):
    """Only where top_logprobs asks for them; with no bytes where a token is half a character."""
    entry = TokenLogprob("H", -0.5, (("H", -0.5), ("\N{REPLACEMENT CHARACTER}", -1.5)))

    async def script(_):
        yield PromptAccepted(1)
        yield TextDelta("H", (entry,))
        yield Finished(FinishReason.STOP, Usage())

    served.scripted.script = script
    _, answer = await served.json("POST", PATH, _body(model="scripted:1b", top_logprobs=2))
    assert served.scripted.asked[-1].sampling.top_logprobs == 2
    assert answer["output"][0]["content"][0]["logprobs"] == [
        {
            "token": "H",
            "logprob": -0.5,
            "bytes": [72],
            "top_logprobs": [
                {"token": "H", "logprob": -0.5, "bytes": [72]},
                {"token": "\N{REPLACEMENT CHARACTER}", "logprob": -1.5, "bytes": []},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"input": None}, "input", "[] is too short - 'input'"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "send the whole conversation"),
        ({"conversation": "c"}, "conversation", "send the whole conversation"),
        ({"background": True}, "background", "responses run while their client waits"),
        ({"prompt": {"id": "p"}}, "prompt", "stored prompts are not known"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "hosted tools are not supported"),
        ({"tool_choice": "maybe"}, "tool_choice", "tool_choice must be auto, none, required"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type", "nothing is kept here"),
        ({"input": [{"role": "bard", "content": "x"}]}, "input[0].role", "input[0].role must be one of"),
        ({"input": [{"role": "user"}]}, "input[0].content", "expected str or array, got null"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input[0].content[0].type",
            "must be one of input_text, output_text",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x"}]}]},
            "input[0].content[0]",
            "image URLs are not currently supported, please use base64 encoded data instead",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}]},
            "input[0].content[0]",
            "does not support vision",
        ),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id", "is required"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "must be one of text, json_object"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema", "expected object"),
        ({"truncation": "some"}, "truncation", "truncation must be one of auto, disabled"),
        ({"max_output_tokens": 0}, "max_output_tokens", "must be between 1 and"),
        ({"top_logprobs": 21}, "top_logprobs", "top_logprobs must be between 0 and 20"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort", "must be one of none, minimal"),
    ],
    ids=str,
)
async def test_bad_requests_name_the_field(speaking, fields, param, message):
    """Status 400 in OpenAI's form."""
    status, answer = await speaking.json("POST", PATH, _body(**fields))
    assert (status, answer["error"]["param"]) == (400, param)
    assert message in answer["error"]["message"]


async def test_a_compressed_body_is_refused(speaking):
    """415, as on every route."""
    headers = {"Content-Encoding": "zstd", "Content-Type": "application/json"}
    async with speaking.http.post(PATH, data=b"x", headers=headers) as response:
        assert response.status == 415


async def test_a_failure_within_a_stream(served):
    """The open item is ended, and the last event says that the response failed, without its cause."""

    async def script(_):
        yield PromptAccepted(1)
        yield TextDelta("x")
        message = "secret"
        raise GenerationError(message)

    served.scripted.script = script
    events = await _events(served, model="scripted:1b")
    assert [event["type"] for event in events[-2:]] == ["response.output_item.done", "response.failed"]
    failed = events[-1]["response"]
    assert failed["status"] == "failed"
    assert failed["error"] == {
        "code": "server_error",
        "message": "an error was encountered while running the model",
    }
    assert failed["usage"]["output_tokens"] == 1


async def test_a_failure_before_the_first_event_keeps_its_status(speaking, speaker):
    """Nothing was sent yet, so it is an error like any other."""
    message = "down"
    speaker.error = BackendError(message)
    status, answer = await speaking.json("POST", PATH, _body(stream=True))
    assert (status, answer["error"]["type"]) == (502, "api_error")


async def test_an_answer_that_begins_again(served):
    """A mark voids what came; items are counted on, and the last event holds only what counts."""
    tries = []

    async def breaking_once(request):
        tries.append(request)
        yield PromptAccepted(1)
        yield TextDelta(f"{len(tries)}")
        if len(tries) == 1:
            message = "broken"
            raise BackendError(message)
        yield Finished(FinishReason.STOP, Usage(prompt_tokens=1, completion_tokens=1))

    served.scripted.script = breaking_once
    events = await _events(served, model="scripted:1b", homeport={"on_stream_failure": "restart"})
    assert [event["output_index"] for event in events if event["type"].endswith("item.added")] == [0, 1]
    assert sum(event["type"] == "homeport" for event in events) == 1
    (item,) = events[-1]["response"]["output"]
    assert item["content"][0]["text"] == "2"


async def test_the_official_client_creates(client, speaker):
    """Whole, with its own validation at its strictest."""
    speaker.says = (ThoughtDelta("hm"), TextDelta("Hi"), *CALL)
    response = await client.responses.create(model="speaking:1b", input="hi", tools=[TOOL])
    assert response.output_text == "Hi"
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert response.usage.total_tokens == 9


async def test_the_official_client_streams(client, speaker):
    """The pieces add up to the whole, and each event passes its validation at its strictest."""
    speaker.says = (ThoughtDelta("hm"), TextDelta("H"), TextDelta("i"), *CALL)
    events = [
        event async for event in await client.responses.create(model="speaking:1b", input="hi", stream=True)
    ]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hi"
    assert events[-1].response.output_text == "Hi"


async def test_the_official_client_gathers_a_stream(client, speaker):
    """Its helper follows every item from begin to end."""
    speaker.says = (ThoughtDelta("hm"), TextDelta("H"), TextDelta("i"), *CALL)
    async with client.responses.stream(model="speaking:1b", input="hi", tools=[TOOL]) as stream:
        kinds = [event.type async for event in stream]
        response = await stream.get_final_response()
    assert kinds[0] == "response.created"
    assert response.output_text == "Hi"
    assert response.output[2].parsed_arguments == {"city": "Oslo"}


async def test_the_official_client_parses(client, speaker):
    """A JSON Schema of its making is the answer's constraint, and the answer fits it."""

    class City(pydantic.BaseModel):
        name: str

    speaker.says = (TextDelta('{"name": "Oslo"}'),)
    response = await client.responses.parse(model="speaking:1b", input="hi", text_format=City)
    assert response.output_parsed == City(name="Oslo")
    assert speaker.asked[-1].constraint.kind is ConstraintKind.JSON_SCHEMA


async def test_a_choice_narrows_the_tools(speaking, speaker):
    """The model is offered those that it lists, and no others."""
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "clock"}]}
    tools = [TOOL, {"type": "function", "name": "clock"}]
    status, answer = await speaking.json("POST", PATH, _body(tools=tools, tool_choice=choice))
    assert (status, answer["tool_choice"]) == (200, choice)
    offer = speaker.asked[-1].prompt.tools
    assert ([tool.name for tool in offer.tools], offer.choice) == (["clock"], ToolChoice.REQUIRED)
    for listed in ([], [{"type": "function", "name": "x"}], [{"name": []}], [{"name": None}], [3]):
        status, answer = await speaking.json(
            "POST", PATH, _body(tools=tools, tool_choice=choice | {"tools": listed})
        )
        assert (status, answer["error"]["param"]) == (400, "tool_choice")


async def test_choices_among_tools(speaking, speaker):
    """Words are read as in chats."""
    for word in ToolChoice:
        asked = await _asked(speaking, speaker, tools=[TOOL], tool_choice=word.value)
        assert asked.prompt.tools.choice is word
