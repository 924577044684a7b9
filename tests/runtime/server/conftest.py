"""A real runtime with the echo backend and a scripted one, behind a real listener."""

import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import aiohttp
import attrs
import blockbuster
import pytest

from homeport import (
    Artifact,
    BackendKind,
    BackendSpec,
    Capability,
    EmbeddingRequest,
    EmbeddingResult,
    FetchProgress,
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    ModelInfo,
    ModelSourceSpec,
    PromptAccepted,
    Settings,
    TextDelta,
    Usage,
    hookimpl,
)
from homeport.config.settings import GatewaySettings, PluginSettings, ServerSettings
from homeport.domain.models import BuildInfo
from homeport.models.manifest import Manifest, ModelFile, WeightsFormat
from homeport.models.names import ModelName
from homeport.models.store import ModelStore
from homeport.runtime import Runtime
from homeport.server.draining import Farewell
from homeport.server.listener import serve
from homeport.testing import EchoPlugin

from .speaking_backend import SpeakingBackend, SpeakingPlugin, Weather

Script = Callable[[GenerationRequest], AsyncIterator[GenerationEvent]]


async def say_hello(request: GenerationRequest) -> AsyncIterator[GenerationEvent]:
    yield PromptAccepted(3)
    yield TextDelta("Hel")
    yield TextDelta("lo")
    yield Finished(FinishReason.STOP, Usage(prompt_tokens=3, completion_tokens=2), context=(1, 2, 3))


def _model(name: str, **facts: object) -> ModelInfo:
    return ModelInfo(name=name, backend="scripted", **facts)


MODELS = (
    _model(
        "scripted:1b",
        digest="ab" * 32,
        size_bytes=1000,
        modified_at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
        family="llama",
        parameter_count=1_100_000_000,
        quantization="Q4_1",
        weights="int4",
        weights_note="the source is quantised, its bits are kept",
        bits_per_weight=5.74,
        context_length=2048,
        embedding_length=64,
        license="Apache-2.0",
        template="{{ messages }}",
        parameters={"temperature": 0.3, "stop": ("<end>", "<stop>"), "top_k": 7},
        facts={
            "llama.block_count": 2,
            "llama.rope.original_context_length": 99,
            "tokens": [1, 2, 3, 4, 5, 6],
        },
    ),
    _model(
        "vectors:latest",
        digest="cd" * 32,
        modified_at=datetime(2026, 2, 1, tzinfo=UTC),
        format="onnx",
        capabilities=frozenset({Capability.EMBEDDING}),
        family="bert",
        embedding_length=32,
    ),
    _model(
        "acme/tiny:q8",
        digest="ef" * 32,
        modified_at=datetime(2025, 2, 1, tzinfo=UTC),
        parameters={"num_ctx": 1024},
        weights="int8",
        bits_per_weight=8.5,
        build=BuildInfo(
            key="01" * 32,
            size_bytes=2000,
            weights="fp32",
            weights_note="as the settings say",
            bits_per_weight=32.0,
            figures={"top1_agreement": 0.95, "tokens": 8.0},
        ),
    ),
)


class ScriptedBackend:
    """Plays a script, and remembers what it was asked for.

    Attributes:
        script: Makes the events of a generation.
        embedder: Answers embedding requests.
        asked: Requests so far.
        left: How many generations were left, well or not.
        latest: The one that was built last.
    """

    latest: ClassVar["ScriptedBackend"]

    def __init__(self) -> None:
        ScriptedBackend.latest = self
        self.script: Script = say_hello
        self.embedder: Callable[[EmbeddingRequest], EmbeddingResult] = unit_vectors
        self.asked: list[GenerationRequest | EmbeddingRequest] = []
        self.left = 0

    async def models(self) -> Sequence[ModelInfo]:
        return MODELS

    @asynccontextmanager
    async def generate(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        self.asked.append(request)
        try:
            yield self.script(request)
        finally:
            self.left += 1

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        self.asked.append(request)
        return self.embedder(request)

    async def aclose(self) -> None:
        pass


def unit_vectors(request: EmbeddingRequest) -> EmbeddingResult:
    return EmbeddingResult(tuple((0.6, 0.8) for _ in request.inputs), prompt_tokens=len(request.inputs))


class ScriptedPlugin:
    @hookimpl
    def homeport_backends(self) -> Sequence[BackendSpec]:
        return [BackendSpec(name="scripted", kind=BackendKind.REMOTE, factory=f"{__name__}:ScriptedBackend")]


class Shelf:
    """A source that knows one model, and has never to fetch it."""

    def locate(self, locator: str) -> Artifact | None:
        return Artifact("shelf", "shelf:tiny") if locator == "tiny:latest" else None

    def fetch(self, artifact: Artifact, into: Path, progress: FetchProgress) -> None:
        raise AssertionError(artifact, into, progress)


class ShelfPlugin:
    @hookimpl
    def homeport_model_sources(self) -> Sequence[ModelSourceSpec]:
        return [ModelSourceSpec(name="shelf", factory=f"{__name__}:Shelf")]


PLUGINS = {
    "echo": EchoPlugin(),
    "scripted": ScriptedPlugin(),
    "shelf": ShelfPlugin(),
    "speaking": SpeakingPlugin(),
}


@attrs.frozen
class Served:
    """A runtime that listens, and an HTTP client on it."""

    runtime: Runtime
    url: str
    http: aiohttp.ClientSession

    @property
    def scripted(self) -> ScriptedBackend:
        return ScriptedBackend.latest

    async def json(self, method: str, path: str, body: object = None, **options: object) -> tuple[int, dict]:
        async with self.http.request(method, path, json=body, **options) as response:
            assert response.content_type == "application/json", await response.text()
            return response.status, await response.json()


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(
        home=tmp_path,
        plugins=PluginSettings(enabled=("echo", "scripted", "shelf"), strict=True),
        server=ServerSettings(max_body_bytes=1_000_000),
        gateway=GatewaySettings(max_waiting=16),
    )


@pytest.fixture
def serving():
    """Open a runtime, listen on a free port, and watch the loop for blocking calls."""

    @asynccontextmanager
    async def start(
        settings: Settings, *, farewell: Farewell | None = None, **options: float
    ) -> AsyncIterator[Served]:
        farewell = farewell or Farewell(grace_seconds=1.0)
        async with (
            Runtime.open(settings, plugins=PLUGINS) as runtime,
            serve(runtime, host="127.0.0.1", port=0, farewell=farewell, **options) as url,
            aiohttp.ClientSession(url) as http,
        ):
            with blockbuster.blockbuster_ctx(scanned_modules=["homeport"]) as watch:
                for function in watch.functions.values():
                    function.can_block_in("loguru/_handler.py", "emit")
                    # A look at the file of keys, 2 microseconds, so that a revoked key is out at once.
                    function.can_block_in("server/key_file.py", "signature")
                yield Served(runtime, url, http)

    return start


@pytest.fixture
async def speaking(settings, serving) -> AsyncIterator[Served]:
    """Serve the models of the speaking backend, and those beside it."""
    plugins = attrs.evolve(settings.plugins, enabled=(*settings.plugins.enabled, "speaking"))
    async with serving(attrs.evolve(settings, plugins=plugins)) as served:
        yield served


@pytest.fixture
def speaker(speaking) -> SpeakingBackend:
    return SpeakingBackend.latest


@pytest.fixture
def weather() -> type[Weather]:
    """A function for models to call."""
    return Weather


@pytest.fixture
async def served(settings, serving) -> AsyncIterator[Served]:
    async with serving(settings) as served:
        yield served


@pytest.fixture
def models() -> dict[str, ModelInfo]:
    return {model.name: model for model in MODELS}


@pytest.fixture
def install():
    """Put an entry into the store, as a pull would, under the names given."""

    def put(settings: Settings, *names: str, weights: str = "") -> None:
        store = ModelStore(settings.home / "models")
        with store.staging() as folder:
            entry = folder / "entry"
            entry.mkdir()
            (entry / "config.json").write_bytes(b"{}")
            manifest = Manifest(
                source="shelf",
                locator="shelf:tiny",
                converted_from=WeightsFormat.SAFETENSORS,
                weights=weights,
                capabilities=frozenset({Capability.COMPLETION}),
                files=(ModelFile(path="config.json", size=2, sha256=hashlib.sha256(b"{}").hexdigest()),),
            )
            store.commit(entry, manifest, [ModelName.parse(name) for name in names])

    return lambda *arguments, **options: _in_a_thread(put, *arguments, **options)


def _in_a_thread(function: Callable[..., None], *arguments: object, **options: object) -> None:
    """Run what blocks outside of the loop, which is watched."""
    thread = threading.Thread(target=function, args=arguments, kwargs=options)
    thread.start()
    thread.join()
