import os

import anthropic
import pytest

MODEL, CALLER = os.environ["HOMEPORT_CHAT_MODEL"], os.environ["HOMEPORT_CALLER"]
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
GREEDY = {"extra_body": {"temperature": 0}}
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
    },
}
PARIS = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture
def client():
    with anthropic.Anthropic(base_url=os.environ["HOMEPORT_URL"], api_key="unused", max_retries=0) as made:
        yield made


def test_message(client):
    answer = client.messages.create(model=MODEL, max_tokens=64, messages=FRANCE, **GREEDY)
    assert "Paris" in answer.content[0].text
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", MODEL)
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0


def test_stream_adds_up(client):
    with client.messages.stream(model=MODEL, max_tokens=64, messages=FRANCE, **GREEDY) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(pieces) == final.content[0].text
    assert len(pieces) > 3
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 3


def test_system_and_stop_sequences(client):
    system = [{"type": "text", "text": "Answer in one word.", "cache_control": {"type": "ephemeral"}}]
    answer = client.messages.create(
        model=MODEL, max_tokens=64, system=system, messages=FRANCE, stop_sequences=["Paris"], **GREEDY
    )
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "Paris")
    cut = client.messages.create(model=MODEL, max_tokens=2, messages=FRANCE)
    assert cut.stop_reason == "max_tokens"


@pytest.mark.parametrize(
    "choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}, {"type": "auto"}]
)
def test_tool_is_called(client, choice):
    answer = client.messages.create(
        model=CALLER, max_tokens=128, messages=PARIS, tools=[WEATHER], tool_choice=choice
    )
    call = next(block for block in answer.content if block.type == "tool_use")
    assert (call.name, answer.stop_reason) == ("get_weather", "tool_use")
    assert isinstance(call.input["city"], str)
    follow = [
        *PARIS,
        {"role": "assistant", "content": [block.model_dump() for block in answer.content]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "It rains."}],
        },
    ]
    assert client.messages.create(model=CALLER, max_tokens=32, messages=follow, tools=[WEATHER]).content


def test_streamed_tool_call_adds_up(client):
    with client.messages.stream(
        model=CALLER, max_tokens=128, messages=PARIS, tools=[WEATHER], tool_choice={"type": "any"}
    ) as stream:
        final = stream.get_final_message()
    call = next(block for block in final.content if block.type == "tool_use")
    assert isinstance(call.input["city"], str)


def test_tokens_are_counted(client):
    counted = client.messages.count_tokens(model=MODEL, messages=FRANCE).input_tokens
    answer = client.messages.create(model=MODEL, max_tokens=1, messages=FRANCE)
    assert counted == answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0)


def test_errors_have_the_shape_of_the_client(client):
    with pytest.raises(anthropic.NotFoundError, match="not found"):
        client.messages.create(model="nobody", max_tokens=1, messages=FRANCE)
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        client.messages.create(model=MODEL, max_tokens=0, messages=FRANCE)
