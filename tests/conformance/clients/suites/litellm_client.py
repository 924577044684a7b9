import os

import litellm
import pytest

URL, MODEL, CALLER = (os.environ[f"HOMEPORT_{name}"] for name in ("URL", "CHAT_MODEL", "CALLER"))
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ROUTES = [("ollama_chat", URL), ("ollama", URL), ("openai", f"{URL}/v1")]


def ask(kind, base, model=MODEL, messages=FRANCE, **settings):
    return litellm.completion(
        model=f"{kind}/{model}", api_base=base, api_key="unused", messages=messages, temperature=0, **settings
    )


@pytest.mark.parametrize(("kind", "base"), ROUTES)
def test_answer_and_stream(kind, base):
    whole = ask(kind, base)
    assert "Paris" in whole.choices[0].message.content
    assert whole.usage.completion_tokens > 3
    pieces = [chunk.choices[0].delta.content or "" for chunk in ask(kind, base, stream=True)]
    assert "".join(pieces) == whole.choices[0].message.content


@pytest.mark.parametrize(("kind", "base"), [ROUTES[0], ROUTES[2]])
def test_tool_is_called(kind, base):
    question = [{"role": "user", "content": "What is the weather in Paris?"}]
    (call,) = ask(kind, base, CALLER, question, tools=[WEATHER]).choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert "Paris" in call.function.arguments
