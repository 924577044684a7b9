import os

import instructor
import pytest
from openai import OpenAI
from pydantic import BaseModel, Field

URL, MODEL, CALLER = (os.environ[f"HOMEPORT_{name}"] for name in ("URL", "CHAT_MODEL", "CALLER"))


class Town(BaseModel):
    """A town."""

    name: str = Field(max_length=20)
    population: int = Field(ge=0, le=10_000_000)


@pytest.mark.parametrize(
    ("mode", "model"),
    [(instructor.Mode.TOOLS, CALLER), (instructor.Mode.JSON_SCHEMA, MODEL)],
)
def test_model_is_filled(mode, model):
    with OpenAI(base_url=f"{URL}/v1", api_key="unused", max_retries=0) as plain:
        client = instructor.from_openai(plain, mode=mode)
        town = client.chat.completions.create(
            model=model,
            response_model=Town,
            max_retries=0,
            temperature=0,
            messages=[{"role": "user", "content": "Paris is a town of two million."}],
        )
    assert isinstance(town, Town)
