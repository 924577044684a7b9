import pytest

from homeport.testing.backend_conformance import BackendConformance
from homeport_ollama.backend import build
from homeport_ollama.config import OllamaConfig


class TestOllama(BackendConformance):
    """An Ollama, here another homeport, is a whole backend."""

    text_model = "echo:latest"
    embedding_model = "echo:latest"

    @pytest.fixture(autouse=True)
    async def _url(self, open_homeport):
        self.url = open_homeport

    def make_backend(self):
        return build(OllamaConfig(url=self.url, connections=4))
