import os
from contextlib import suppress

from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.exceptions import UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import UsageLimits

URL, MODEL, CALLER = (os.environ[f"HOMEPORT_{name}"] for name in ("URL", "CHAT_MODEL", "CALLER"))


def model(name):
    return OpenAIChatModel(name, provider=OpenAIProvider(base_url=f"{URL}/v1", api_key="unused"))


class Town(BaseModel):
    """A town."""

    name: str = Field(max_length=20)
    population: int = Field(ge=0, le=10_000_000)


def test_answer():
    answer = Agent(model(MODEL)).run_sync("What is the capital of France?", model_settings={"temperature": 0})
    assert "Paris" in answer.output


def test_typed_output_by_schema():
    agent = Agent(model(MODEL), output_type=NativeOutput(Town))
    assert isinstance(agent.run_sync("Paris is a town of two million.").output, Town)


def test_typed_output_by_a_forced_tool():
    agent = Agent(model(CALLER), output_type=Town)
    assert isinstance(agent.run_sync("Paris is a town of two million.").output, Town)


def test_tool_is_called():
    asked = []
    agent = Agent(model(CALLER), output_type=str)

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return "It rains."

    # So small a model may call for ever; that it called is what is asked here.
    with suppress(UnexpectedModelBehavior, UsageLimitExceeded):
        agent.run_sync(
            "What is the weather in Paris?",
            model_settings={"temperature": 0, "max_tokens": 96},
            usage_limits=UsageLimits(request_limit=3),
        )
    assert asked[0] == "Paris"
