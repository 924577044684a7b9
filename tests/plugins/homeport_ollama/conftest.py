import pytest

from homeport.testing.raw_server import RawServer, whole
from homeport_ollama.backend import build
from homeport_ollama.config import OllamaConfig

TAG = {
    "name": "llama3.2:latest",
    "modified_at": "2026-05-04T14:56:49.277302595-07:00",
    "size": 2_000,
    "digest": "ab" * 32,
    "details": {"family": "llama", "quantization_level": "Q4_K_M"},
}
SHOWN = {
    "capabilities": ["completion", "tools", "thinking"],
    "model_info": {"general.parameter_count": 3_000_000, "llama.context_length": 8192},
    "template": "{{ .Prompt }}",
}


def play_models(raw: RawServer, *tags: dict) -> None:
    """Let a server have models, as Ollama tells of them."""
    raw.play("GET", "/api/version", [whole({"version": "0.33.3"})])
    raw.play("GET", "/api/tags", [whole({"models": list(tags)})])
    raw.play("POST", "/api/show", [whole(SHOWN)])


@pytest.fixture
def ollama(raw):
    """The server, with one model."""
    play_models(raw, TAG)
    return raw


@pytest.fixture
async def start():
    """Build backends; all are closed at the end."""
    built = []

    def make(raw, **settings):
        backend = build(OllamaConfig(url=raw.url, **settings))
        built.append(backend)
        return backend

    yield make
    for backend in built:
        await backend.aclose()
