import json

import pytest

from homeport import (
    ChatPrompt,
    Constraint,
    ConstraintKind,
    FillPrompt,
    Finished,
    GenerationRequest,
    Message,
    Role,
    Sampling,
    TextDelta,
    TextPrompt,
    ThoughtDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolOffer,
    UnsupportedError,
)
from homeport.testing.raw_server import chunk, head
from homeport_remote.bodies import generation
from homeport_remote.config import Kind

WEATHER = Tool(
    name="weather", description="Of a town", parameters={"type": "object", "properties": {"town": {}}}
)
SCHEMA = '{"type": "object", "required": ["b", "a"]}'


def body_of(prompt, kind=Kind.OPENAI, **fields):
    request = GenerationRequest(id="r", model="m", prompt=prompt, **fields)
    return generation(request, "m", kind).body


def asked(**fields):
    return ChatPrompt((Message(Role.USER, "Hi"),), **fields)


def test_offered_tools_are_spelt_with_the_choice_among_them():
    """Name, description and schema reach the server, and whether one has to be called."""
    offer = ToolOffer(tools=(WEATHER,), choice=ToolChoice.REQUIRED, parallel=False)
    body = body_of(asked(tools=offer))
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "weather", "description": "Of a town", "parameters": WEATHER.parameters},
        }
    ]
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)
    named = body_of(asked(tools=ToolOffer(tools=(WEATHER,), choice=ToolChoice.REQUIRED, name="weather")))
    assert named["tool_choice"] == {"type": "function", "function": {"name": "weather"}}


def test_earlier_calls_and_their_results_are_spelt():
    """A conversation that used tools goes on elsewhere with its calls, ids and results."""
    call = ToolCall(id="call_a", name="weather", arguments='{"town": "Paris"}')
    turns = (
        Message(Role.USER, "And now?"),
        Message(Role.ASSISTANT, "", tool_calls=(call,), thinking="hm"),
        Message(Role.TOOL, "rain", tool_name="weather", tool_call_id="call_a"),
    )
    said = body_of(ChatPrompt(turns))["messages"]
    assert said[1]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"town": "Paris"}'}
    assert "reasoning" not in said[1]
    assert said[2] == {"role": "tool", "content": "rain", "tool_call_id": "call_a", "name": "weather"}
    assert body_of(ChatPrompt(turns), Kind.HOMEPORT)["messages"][1]["reasoning"] == "hm"


def test_form_of_the_answer_is_asked_for():
    """JSON, a schema with its order of keys, and to another homeport a regular expression."""
    plain = body_of(asked(), constraint=Constraint(ConstraintKind.JSON_OBJECT))
    assert plain["response_format"] == {"type": "json_object"}
    schema = body_of(asked(), constraint=Constraint(ConstraintKind.JSON_SCHEMA, SCHEMA))
    assert schema["response_format"]["json_schema"]["schema"] == json.loads(SCHEMA)
    regex = Constraint(ConstraintKind.REGEX, "a+")
    assert body_of(asked(), Kind.HOMEPORT, constraint=regex)["guided_regex"] == "a+"
    with pytest.raises(UnsupportedError, match="regex"):
        body_of(asked(), constraint=regex)


def test_gap_and_bias_are_spelt():
    """What stands behind a gap, and a bias of tokens, have names of their own."""
    body = body_of(FillPrompt("def f(", "): pass"), sampling=Sampling(logit_bias=((7, -100.0),)))
    assert (body["prompt"], body["suffix"], body["logit_bias"]) == ("def f(", "): pass", {"7": -100.0})


@pytest.mark.parametrize(
    "fields",
    [
        {"sampling": Sampling(labels=("A", "B"))},
        {"sampling": Sampling(prompt_logprobs=True)},
        {"prompt": asked(template="{{ messages }}")},
        {"prompt": asked(is_plain=True)},
    ],
)
def test_what_only_our_engine_can_is_refused(fields):
    """Nothing is sent that the server would answer as something else."""
    prompt = fields.pop("prompt", TextPrompt("Hi"))
    with pytest.raises(UnsupportedError):
        body_of(prompt, Kind.HOMEPORT, **fields)


def test_thinking_is_asked_for_in_the_words_of_the_server():
    """An effort is known everywhere, that there be none only to another homeport."""
    assert body_of(asked(thinks=True, effort="low"))["reasoning_effort"] == "low"
    assert "reasoning_effort" not in body_of(asked(thinks=False))
    assert body_of(asked(thinks=False), Kind.HOMEPORT)["reasoning_effort"] == "none"


async def test_thoughts_text_and_calls_come_back_as_they_are_sent(other, start):
    """Pieces of a call keep their index, the first one its id and name."""
    pieces = [
        {"delta": {"reasoning_content": "hm"}},
        {"delta": {"content": "Let me see."}},
        {"delta": {"tool_calls": [{"index": 0, "id": "call_a", "function": {"name": "weather"}}]}},
        {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"town":'}}]}},
        {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": ' "Paris"}'}}]}},
        {"delta": {}, "finish_reason": "tool_calls"},
    ]
    usage = {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 2}}
    events = [{"choices": [{"index": 0, **piece}]} for piece in pieces]
    lines = [
        b"data: " + json.dumps(event).encode() + b"\n\n"
        for event in (*events, {"choices": [], "usage": usage})
    ]
    script = [head(content_type="text/event-stream"), *map(chunk, (*lines, b"data: [DONE]\n\n")), chunk(b"")]
    other.play("POST", "/v1/chat/completions", script)
    backend = await start(other)
    prompt = asked(tools=ToolOffer(tools=(WEATHER,)))
    async with backend.generate(GenerationRequest(id="r", model="gpt-4o:latest", prompt=prompt)) as stream:
        *deltas, end = [event async for event in stream]
    assert deltas == [
        ThoughtDelta("hm"),
        TextDelta("Let me see."),
        ToolCallDelta(index=0, id="call_a", name="weather"),
        ToolCallDelta(index=0, arguments='{"town":'),
        ToolCallDelta(index=0, arguments=' "Paris"}'),
    ]
    assert isinstance(end, Finished)
    assert (end.reason.value, end.usage.thought_tokens) == ("stop", 2)
