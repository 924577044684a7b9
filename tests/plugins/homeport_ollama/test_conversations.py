import json

import pytest

from homeport import (
    ChatPrompt,
    Constraint,
    ConstraintKind,
    FillPrompt,
    GenerationRequest,
    Message,
    Role,
    Sampling,
    TextDelta,
    ThoughtDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolOffer,
    UnsupportedError,
)
from homeport.testing.raw_server import chunk, head
from homeport_ollama.bodies import generation

WEATHER = Tool(
    name="weather", description="Of a town", parameters={"type": "object", "properties": {"town": {}}}
)


def call_of(prompt, *, thinks=True, **fields):
    return generation(GenerationRequest(id="r", model="m", prompt=prompt, **fields), thinks=thinks)


def asked(**fields):
    return ChatPrompt((Message(Role.USER, "Hi"),), **fields)


def test_tools_calls_and_results_are_spelt():
    """Arguments are an object there, and a result names its tool."""
    turns = (
        Message(Role.USER, "And now?"),
        Message(
            Role.ASSISTANT,
            "",
            thinking="hm",
            tool_calls=(ToolCall(id="c", name="weather", arguments='{"town": "Paris"}'),),
        ),
        Message(Role.TOOL, "rain", tool_name="weather"),
    )
    call = call_of(ChatPrompt(turns, tools=ToolOffer(tools=(WEATHER,))))
    assert call.path == "/api/chat"
    assert call.body["tools"][0]["function"]["parameters"] == WEATHER.parameters
    said = call.body["messages"]
    assert said[1]["tool_calls"] == [{"function": {"name": "weather", "arguments": {"town": "Paris"}}}]
    assert (said[1]["thinking"], said[2]["tool_name"]) == ("hm", "weather")


def test_tools_that_must_not_be_called_are_not_told():
    """The server knows no other way of saying so."""
    assert "tools" not in call_of(asked(tools=ToolOffer(tools=(WEATHER,), choice=ToolChoice.NONE))).body


@pytest.mark.parametrize(
    ("prompt", "fields"),
    [
        (asked(tools=ToolOffer(tools=(WEATHER,), choice=ToolChoice.REQUIRED)), {}),
        (asked(template="{{ messages }}"), {}),
        (asked(), {"constraint": Constraint(ConstraintKind.REGEX, "a")}),
        (asked(), {"sampling": Sampling(logit_bias=((1, 1.0),))}),
        (asked(), {"sampling": Sampling(labels=("A",))}),
    ],
)
def test_what_ollama_drops_silently_is_refused(prompt, fields):
    """An answer that ignores what was asked is worse than an error."""
    with pytest.raises(UnsupportedError):
        call_of(prompt, **fields)


def test_forms_and_gaps_are_spelt():
    """A schema goes as an object, any JSON as a word, and a gap by its suffix."""
    schema = Constraint(ConstraintKind.JSON_SCHEMA, '{"type": "object"}')
    assert call_of(asked(), constraint=schema).body["format"] == {"type": "object"}
    assert call_of(asked(), constraint=Constraint(ConstraintKind.JSON_OBJECT)).body["format"] == "json"
    gap = call_of(FillPrompt("def f(", "): pass"))
    assert (gap.path, gap.body["prompt"], gap.body["suffix"]) == ("/api/generate", "def f(", "): pass")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"thinks": True}, True),
        ({"thinks": True, "effort": "low"}, "low"),
        ({"thinks": False}, False),
    ],
)
def test_thinking_is_asked_for_where_the_model_can(fields, expected):
    """What is left to the model is not said, and a model that cannot think is not asked to."""
    assert call_of(asked(**fields)).body.get("think") == expected
    assert "think" not in call_of(asked(**fields), thinks=False).body


async def test_thoughts_text_and_calls_come_back(ollama, start):
    """A whole call becomes one piece with an index and, where the server gives none, an id."""
    called = {"function": {"name": "weather", "arguments": {"town": "Paris"}}}
    messages = ({"content": "", "thinking": "hm"}, {"content": "Yes.", "tool_calls": [called]})
    pieces = [{"message": {"role": "assistant", **message}, "done": False} for message in messages]
    last = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
    lines = [chunk(json.dumps(piece).encode() + b"\n") for piece in (*pieces, last)]
    ollama.play("POST", "/api/chat", [head(), *lines, chunk(b"")])
    backend = start(ollama)
    await backend.models()
    request = GenerationRequest(id="r", model="llama3.2:latest", prompt=asked())
    async with backend.generate(request) as stream:
        thought, call, text, _ = [event async for event in stream]
    assert (thought, text) == (ThoughtDelta("hm"), TextDelta("Yes."))
    assert isinstance(call, ToolCallDelta)
    assert (call.index, call.name, call.arguments) == (0, "weather", '{"town": "Paris"}')
    assert call.id.startswith("call_")
