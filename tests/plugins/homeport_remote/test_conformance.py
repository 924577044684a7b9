import pytest

from homeport.testing.backend_conformance import BackendConformance
from homeport_remote.backend import build
from homeport_remote.config import RemoteConfig, UpstreamConfig


class Remote(BackendConformance):
    text_model = "echo:latest"

    @pytest.fixture(autouse=True)
    async def _other(self, other_homeport, key_of_other, monkeypatch):
        self.url = other_homeport
        monkeypatch.setenv("OTHER_KEY", key_of_other)

    def make_backend(self):
        upstream = UpstreamConfig(url=self.url, kind=self.kind, key_env="OTHER_KEY")
        return build(RemoteConfig(upstreams={"other": upstream}))["other"]


class TestOpenAI(Remote):
    """Any server with OpenAI's API is a whole backend."""

    kind = "openai"


class TestHomeport(Remote):
    """Another homeport is a whole backend."""

    kind = "homeport"
    embedding_model = "echo:latest"
