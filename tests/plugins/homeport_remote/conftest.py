import pytest

from homeport.testing.raw_server import whole
from homeport_remote.backend import build
from homeport_remote.config import RemoteConfig, UpstreamConfig


@pytest.fixture
def other(raw):
    """A server with OpenAI's API and two models."""
    listed = [{"id": "gpt-4o", "object": "model", "created": 1795258800}, {"id": "text-embed-3"}]
    raw.play("GET", "/v1/models", [whole({"object": "list", "data": listed})])
    return raw


@pytest.fixture
async def start():
    """Build backends and wait for their first look; all are closed at the end."""
    built = []

    async def make(raw, **settings):
        upstream = UpstreamConfig(url=raw.url, **settings)
        backend = build(RemoteConfig(upstreams={"lab": upstream}))["lab"]
        built.append(backend)
        await backend.models()
        return backend

    yield make
    for backend in built:
        await backend.aclose()
