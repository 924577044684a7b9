"""``POST /api/embed`` and ``POST /api/embeddings``."""

import aiohttp
import pytest

from homeport import BackendKind, BackendSpec, ContextOverflowError, Settings, hookimpl
from homeport.config.settings import PluginSettings
from homeport.models.store import ModelStore
from homeport.runtime import Runtime
from homeport.server.listener import serve

MODEL = "vectors"


async def test_texts_become_vectors(served):
    """One text or many, in order, with figures in nanoseconds."""
    status, answer = await served.json("POST", "/api/embed", {"model": MODEL, "input": ["a", "b"]})
    assert status == 200
    assert answer["embeddings"] == [[0.6, 0.8], [0.6, 0.8]]
    assert (answer["model"], answer["prompt_eval_count"]) == (MODEL, 2)
    assert answer["total_duration"] >= answer["load_duration"] >= 0
    _, single = await served.json("POST", "/api/embed", {"model": MODEL, "input": "a"})
    assert len(single["embeddings"]) == 1


async def test_the_request_reaches_the_backend_whole(served):
    """Truncation, dimensions and keep-alive arrive; vectors are normalised."""
    body = {"model": MODEL, "input": ["a"], "truncate": False, "dimensions": 16, "keep_alive": 7}
    await served.json("POST", "/api/embed", body)
    (asked,) = served.scripted.asked
    assert (asked.inputs, asked.truncate, asked.dimensions) == (("a",), False, 16)
    assert (asked.keep_alive_seconds, asked.normalize) == (7.0, True)


async def test_the_older_route_does_not_normalise(served):
    """One vector under its own key, as the model gives it."""
    assert await served.json("POST", "/api/embeddings", {"model": MODEL, "prompt": "a"}) == (
        200,
        {"embedding": [0.6, 0.8]},
    )
    assert served.scripted.asked[0].normalize is False


@pytest.mark.parametrize("value", [None, "", []])
async def test_no_input_loads(served, value):
    """Nothing to embed is no error."""
    status, answer = await served.json("POST", "/api/embed", {"model": MODEL, "input": value})
    assert (status, answer["embeddings"]) == (200, [])
    assert await served.json("POST", "/api/embeddings", {"model": MODEL, "prompt": value or None}) == (
        200,
        {"embedding": []},
    )
    assert served.scripted.asked == []


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/api/embed", {"model": "nope", "input": "a"}, 404, 'model "nope" not found, try pulling it first'),
        ("/api/embeddings", {"model": "nope"}, 404, 'model "nope" not found, try pulling it first'),
        ("/api/embed", {"input": "a"}, 404, "model '' not found"),
        ("/api/embeddings", {"prompt": "a"}, 400, "model is required"),
        ("/api/embed", {"model": MODEL, "input": 5}, 400, "invalid input type"),
        ("/api/embed", {"model": MODEL, "input": ["a", 5]}, 400, "invalid input type"),
        ("/api/embed", {"model": MODEL, "input": {"a": 1}}, 400, "invalid input type"),
        ("/api/embed", {"model": MODEL, "input": [[1]]}, 400, "invalid input type"),
        (
            "/api/embed",
            {"model": MODEL, "input": "a", "dimensions": -1},
            400,
            "dimensions must be between 0 and 32, got -1",
        ),
        (
            "/api/embed",
            {"model": MODEL, "input": "a", "dimensions": 33},
            400,
            "dimensions must be between 0 and 32, got 33",
        ),
        (
            "/api/embed",
            {"model": MODEL, "input": ["a"] * 2049},
            400,
            "input must hold at most 2048 texts, got 2049",
        ),
        (
            "/api/embed",
            {"model": MODEL, "input": "a", "options": {"num_ctx": "x"}},
            400,
            'option "num_ctx" must be of type integer',
        ),
        (
            "/api/embeddings",
            {"model": MODEL, "prompt": ["a"]},
            400,
            "invalid request: prompt: expected str, got array",
        ),
    ],
)
async def test_what_cannot_be_embedded_is_named(served, path, body, status, text):
    """Each refusal has its status and text."""
    answer = await served.json("POST", path, body)
    assert (answer[0], answer[1]["error"]) == (status, text)


async def test_an_input_over_the_window_has_its_own_text(served):
    """Where cutting is forbidden the client is told so in the words of the backend."""

    def overflow(_):
        raise ContextOverflowError("the input length exceeds the context length", field="input")

    served.scripted.embedder = overflow
    assert await served.json("POST", "/api/embed", {"model": MODEL, "input": "a", "truncate": False}) == (
        400,
        {"error": "the input length exceeds the context length"},
    )


class ChecksumPlugin:
    @hookimpl
    def homeport_backends(self):
        factory = "homeport.testing.tiny_model:ChecksumModel"
        return [BackendSpec(name="checksum", kind=BackendKind.LOCAL, factory=factory)]


async def test_the_first_request_says_how_long_the_model_took_to_load(tmp_path, install_tiny):
    """Starting a worker is most of the first answer's time, and none of the second's."""
    install_tiny(ModelStore(tmp_path / "models"))
    settings = Settings(home=tmp_path, plugins=PluginSettings(enabled=("checksum",)))
    async with (
        Runtime.open(settings, plugins={"checksum": ChecksumPlugin()}) as runtime,
        serve(runtime, port=0) as url,
        aiohttp.ClientSession(url) as http,
    ):
        cold, warm = [
            await (await http.post("/api/embed", json={"model": "tiny", "input": "a"})).json()
            for _ in range(2)
        ]
    assert cold["total_duration"] > cold["load_duration"] > cold["total_duration"] / 2
    assert warm["load_duration"] < cold["load_duration"] / 5
