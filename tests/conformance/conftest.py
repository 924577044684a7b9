import openai
import pytest
from ollama import Client


@pytest.fixture
def ollama(starter_server):
    """The official client of Ollama."""
    client = Client(host=starter_server.url)
    yield client
    client.close()


@pytest.fixture
def openai_client(starter_server):
    """The official client of OpenAI, which refuses answers that break the schema."""
    with openai.OpenAI(
        base_url=f"{starter_server.url}/v1", api_key="unused", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client
