import os

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

URL, MODEL, CALLER = (os.environ[f"HOMEPORT_{name}"] for name in ("URL", "CHAT_MODEL", "CALLER"))


class Town(BaseModel):
    """A town."""

    name: str = Field(max_length=20)
    population: int = Field(ge=0, le=10_000_000)


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"It rains in {city}."


def speaks_ollama(model=MODEL, **settings):
    return ChatOllama(model=model, base_url=URL, temperature=0, **settings)


def speaks_openai(model=MODEL, **settings):
    return ChatOpenAI(
        model=model, base_url=f"{URL}/v1", api_key="unused", temperature=0, max_retries=0, **settings
    )


@pytest.mark.parametrize("chat", [speaks_ollama, speaks_openai])
def test_answer_and_stream(chat):
    whole = chat().invoke("What is the capital of France?")
    assert "Paris" in whole.content
    assert whole.usage_metadata["output_tokens"] > 3
    pieces = [piece.content for piece in chat().stream("What is the capital of France?")]
    assert "".join(pieces) == whole.content


@pytest.mark.parametrize("chat", [speaks_ollama, speaks_openai])
def test_structured_output(chat):
    town = chat().with_structured_output(Town, method="json_schema").invoke("Paris is a town of two million.")
    assert isinstance(town, Town)


@pytest.mark.parametrize("chat", [speaks_ollama, speaks_openai])
def test_tool_is_called_and_its_result_read(chat):
    model = chat(CALLER).bind_tools([get_weather])
    question = HumanMessage("What is the weather in Paris?")
    answer = model.invoke([question])
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    assert model.invoke([question, answer, result]).response_metadata


def test_forced_tool_is_called():
    model = speaks_openai(CALLER).bind_tools([get_weather], tool_choice="get_weather")
    (call,) = model.invoke("Tell me about bread.").tool_calls
    assert call["name"] == "get_weather"


def test_embeddings():
    ours = OllamaEmbeddings(model="all-minilm", base_url=URL).embed_documents(["bread", "butter"])
    theirs = OpenAIEmbeddings(
        model="all-minilm", base_url=f"{URL}/v1", api_key="unused", check_embedding_ctx_length=False
    ).embed_documents(["bread", "butter"])
    assert len(ours) == len(theirs) == 2
    assert max(abs(a - b) for a, b in zip(ours[0], theirs[0], strict=True)) < 1e-6
