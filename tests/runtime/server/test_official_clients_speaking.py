"""What the unmodified official clients make of tools, thoughts and forms."""

import json

import ollama
import openai
import pytest
from pydantic import BaseModel

from homeport import TextDelta, ThoughtDelta, TokenLogprob, ToolCallDelta
from homeport.domain.constraint import ConstraintKind
from homeport.domain.generation import PromptScored
from homeport.domain.messages import Role

MODEL = "speaking:1b"
HI = [{"role": "user", "content": "weather?"}]


class City(BaseModel):
    """What an answer is parsed into."""

    name: str
    people: int


def tell_weather(city: str, unit: str = "C") -> str:
    """Tell the weather.

    Args:
        city: Where.
        unit: Of the temperature.

    Returns:
        str: In words.
    """
    return f"rain in {city}, in {unit}"


@pytest.fixture
async def ollama_client(speaking):
    async with ollama.AsyncClient(host=speaking.url) as client:
        yield client


@pytest.fixture
async def openai_client(speaking):
    async with openai.AsyncOpenAI(
        base_url=f"{speaking.url}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture
async def loose_client(speaking):
    """Where OpenAI's own types contradict its API: the first token of an echo has no log-probability."""
    async with openai.AsyncOpenAI(base_url=f"{speaking.url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def test_ollama_runs_tools(ollama_client, speaker, weather):
    """Its functions become tools, calls come back as mappings, and the results go on in the conversation."""
    speaker.says = [ThoughtDelta("hm"), *weather.call()]
    answer = await ollama_client.chat(MODEL, HI, tools=[tell_weather])
    (call,) = answer.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", {"unit": "C", "city": "Oslo"})
    assert answer.message.thinking == "hm"
    result = {"role": "tool", "content": "rain", "tool_name": call.function.name}
    await ollama_client.chat(MODEL, [*HI, answer.message, result])
    assistant, told = speaker.asked[-1].prompt.messages[1:]
    assert (assistant.thinking, assistant.tool_calls[0].name) == ("hm", "weather")
    assert (told.role, told.tool_name, told.tool_call_id) == (
        Role.TOOL,
        "weather",
        assistant.tool_calls[0].id,
    )


async def test_ollama_streams_tools_and_thoughts(ollama_client, speaker, weather):
    """Each line parses; a call is whole in one of them."""
    speaker.says = [ThoughtDelta("h"), ThoughtDelta("m"), TextDelta("Look"), *weather.call()]
    stream = await ollama_client.chat(MODEL, HI, tools=[weather.tool], stream=True, think="high")
    pieces = [piece async for piece in stream]
    assert "".join(piece.message.thinking or "" for piece in pieces) == "hm"
    assert "".join(piece.message.content for piece in pieces) == "Look"
    (call,) = [call for piece in pieces for call in piece.message.tool_calls or ()]
    assert call.function.arguments["city"] == "Oslo"
    assert pieces[-1].done_reason == "stop"


async def test_ollama_asks_for_forms(ollama_client, speaker):
    """A pydantic schema arrives, and the answer is what it parses."""
    speaker.says = [TextDelta('{"name": "Oslo", '), TextDelta('"people": 700000}')]
    answer = await ollama_client.chat(MODEL, HI, format=City.model_json_schema())
    assert City.model_validate_json(answer.message.content) == City(name="Oslo", people=700000)
    assert json.loads(speaker.asked[0].constraint.source)["required"] == ["name", "people"]
    await ollama_client.generate(MODEL, "city?", format="json", think=False)
    assert speaker.asked[1].constraint.kind is ConstraintKind.JSON_OBJECT


async def test_ollama_fills_gaps(ollama_client, speaker):
    """Its argument suffix."""
    answer = await ollama_client.generate(MODEL, "def f():", suffix="return x")
    assert (answer.response, speaker.asked[0].prompt.suffix) == ("Hi", "return x")


async def test_openai_runs_tools(openai_client, speaker, weather):
    """In strict mode: calls come back, and the conversation goes on with their results."""
    speaker.says = weather.call()
    answer = await openai_client.chat.completions.create(
        model=MODEL, messages=HI, tools=[weather.tool], tool_choice="required", parallel_tool_calls=False
    )
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    (call,) = choice.message.tool_calls
    assert json.loads(call.function.arguments) == {"unit": "C", "city": "Oslo"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    await openai_client.chat.completions.create(model=MODEL, messages=[*HI, choice.message, result])
    assert speaker.asked[-1].prompt.messages[-1].tool_name == "weather"


async def test_openai_accumulates_streamed_calls(openai_client, speaker, weather):
    """Its own accumulator ends with whole calls, and its events parse arguments on the way."""
    speaker.says = [TextDelta("Look"), *weather.call(), *weather.call(1, "call_b", "Rom")]
    async with openai_client.chat.completions.stream(
        model=MODEL, messages=HI, tools=[weather.tool]
    ) as stream:
        done = [event async for event in stream if event.type == "tool_calls.function.arguments.done"]
        answer = await stream.get_final_completion()
    assert [event.index for event in done] == [0, 1]
    message = answer.choices[0].message
    assert message.content == "Look"
    assert [json.loads(call.function.arguments)["city"] for call in message.tool_calls] == ["Oslo", "Rom"]
    assert answer.choices[0].finish_reason == "tool_calls"


async def test_openai_parses_answers(openai_client, speaker):
    """parse() sends a strict schema and gets an object."""
    speaker.says = [TextDelta('{"name": "Oslo", "people": 7}')]
    answer = await openai_client.chat.completions.parse(model=MODEL, messages=HI, response_format=City)
    assert answer.choices[0].message.parsed == City(name="Oslo", people=7)
    assert json.loads(speaker.asked[0].constraint.source)["additionalProperties"] is False


async def test_openai_parses_calls(openai_client, speaker):
    """parse() with a pydantic tool gives its arguments as an object."""
    speaker.says = [ToolCallDelta(index=0, id="c", name="City", arguments='{"name": "Oslo", "people": 7}')]
    answer = await openai_client.chat.completions.parse(
        model=MODEL, messages=HI, tools=[openai.pydantic_function_tool(City)]
    )
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.parsed_arguments == City(name="Oslo", people=7)


async def test_openai_reads_thoughts_and_usage(openai_client, speaker):
    """Reasoning is an extra of the message, and its tokens are counted."""
    speaker.says = [ThoughtDelta("hm"), TextDelta("so", (TokenLogprob("so", -0.5),))]
    answer = await openai_client.chat.completions.create(
        model=MODEL,
        messages=HI,
        reasoning_effort="high",
        logprobs=True,
        top_logprobs=1,
        logit_bias={"5": -100},
    )
    assert answer.choices[0].message.reasoning == "hm"
    assert answer.usage.completion_tokens_details.reasoning_tokens == 1
    assert speaker.asked[0].prompt.effort == "high"
    assert speaker.asked[0].sampling.logit_bias == ((5, -100.0),)


async def test_openai_calls_functions_of_old(openai_client, speaker, weather):
    """The deprecated fields work in strict mode too."""
    speaker.says = weather.call()
    answer = await openai_client.chat.completions.create(
        model=MODEL, messages=HI, functions=[weather.tool["function"]], function_call="auto"
    )
    assert answer.choices[0].finish_reason == "function_call"
    assert answer.choices[0].message.function_call.name == "weather"


async def test_openai_scores_texts(loose_client, speaker):
    """Echo, logprobs and no answer, as evaluation harnesses do."""
    speaker.says = [PromptScored((TokenLogprob("a", 0.0), TokenLogprob(" b", -1.5)))]
    answer = await loose_client.completions.create(
        model=MODEL, prompt="a b", echo=True, logprobs=1, max_tokens=0
    )
    assert answer.choices[0].text == "a b"
    assert answer.choices[0].logprobs.token_logprobs == [None, -1.5]
