"""Rule 4: a key does what its scopes say; administering is for admins, also where it hides in a field."""

import asyncio
import re

import attrs
import pytest

from homeport.config.model_settings import ModelSettings
from homeport.models.names import ModelName
from homeport.models.store import ModelStore
from homeport.server.endpoints import ENDPOINTS
from homeport.server.key_file import FILE_NAME, KeyFile
from homeport.server.scopes import GRANTABLE, Scope

ADMIN = [(each.method, each.path) for each in ENDPOINTS if each.scope is Scope.ADMIN]
MONITOR = [(each.method, each.path) for each in ENDPOINTS if each.scope is Scope.MONITOR]
DEFAULT_SECONDS = 120.0

GENERATIONS = {
    "/api/generate": {"prompt": "hi", "stream": False},
    "/api/chat": {"messages": [{"role": "user", "content": "hi"}], "stream": False},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/completions": {"prompt": "hi"},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5},
}
EMBEDDINGS = {
    "/api/embed": {"input": "hi"},
    "/api/embeddings": {"prompt": "hi"},
    "/v1/embeddings": {"input": "hi"},
}


@pytest.fixture
async def shared(settings, serving):
    """A server with a key for each scope, by scope."""
    file = KeyFile(settings.home / FILE_NAME)
    keys = {scope: file.create(scope.value, {scope}).secret for scope in GRANTABLE}
    models = attrs.evolve(ModelSettings(), keep_alive=DEFAULT_SECONDS)
    async with serving(attrs.evolve(settings, models=models)) as served:
        yield served, keys


async def ask(shared, scope, method, path, body=None, **headers):
    served, keys = shared
    headers = {"x-api-key": keys[scope], **headers}
    async with served.http.request(method, path, json=body, headers=headers) as response:
        return response.status, await response.text()


def concrete(path):
    return re.sub(r"{\w+(:[^{}]*)?}", "echo", path.replace("{digest}", "sha256:" + "0" * 64))


@pytest.mark.parametrize(("method", "path"), ADMIN)
@pytest.mark.parametrize("scope", [Scope.INFER, Scope.MONITOR])
async def test_administering_is_for_admins(shared, scope, method, path):
    """Each such verb is refused before its body is read, in the shape of its dialect."""
    status, text = await ask(shared, scope, method, concrete(path), {"model": "echo"})
    assert status == 403
    assert method == "HEAD" or "forbidden" in text
    assert method == "HEAD" or "scope admin" in text


async def test_a_refused_verb_changes_nothing(shared, settings, install):
    """What an admin's verb would have taken away is still there."""
    install(settings, "kept:1b")
    assert (await ask(shared, Scope.INFER, "DELETE", "/api/delete", {"model": "kept:1b"}))[0] == 403
    body = {"source": "kept:1b", "destination": "taken:1b"}
    assert (await ask(shared, Scope.INFER, "POST", "/api/copy", body))[0] == 403
    store = ModelStore(settings.home / "models")
    kept, taken = (ModelName.parse(name) for name in ("kept:1b", "taken:1b"))
    assert await asyncio.to_thread(store.find, kept)
    assert await asyncio.to_thread(store.find, taken) is None


@pytest.mark.parametrize(("method", "path"), MONITOR)
async def test_figures_are_for_those_who_watch(shared, method, path):
    """A key for models reads no figures; one for figures, and an admin's, do."""
    assert (await ask(shared, Scope.INFER, method, path))[0] == 403
    assert (await ask(shared, Scope.MONITOR, method, path))[0] == 200
    assert (await ask(shared, Scope.ADMIN, method, path))[0] == 200


async def test_who_watches_asks_no_model(shared):
    """A key for figures is none for models."""
    body = {"model": "scripted:1b", "prompt": "hi", "stream": False}
    assert (await ask(shared, Scope.MONITOR, "POST", "/api/generate", body))[0] == 403
    assert shared[0].scripted.asked == []


async def test_a_known_key_learns_which_paths_there_are(shared):
    """Whoever may ask at all is told 404 and 405 for what they are."""
    assert (await ask(shared, Scope.INFER, "GET", "/nothing"))[0] == 404
    assert (await ask(shared, Scope.INFER, "GET", "/api/generate"))[0] == 405


@pytest.mark.parametrize("keep_alive", [-1, "24h", 1e9, "-1m"])
@pytest.mark.parametrize("path", GENERATIONS)
async def test_the_stay_of_a_model_is_clamped(shared, path, keep_alive):
    """Nobody but an admin keeps a model in memory for longer than the settings say."""
    body = {"model": "scripted:1b", "keep_alive": keep_alive, **GENERATIONS[path]}
    for scope, expected in ((Scope.INFER, {DEFAULT_SECONDS}), (Scope.ADMIN, {86400.0, 1e9, float("inf")})):
        status, text = await ask(shared, scope, "POST", path, body)
        assert status == 200, text
        assert shared[0].scripted.asked[-1].keep_alive_seconds in expected


@pytest.mark.parametrize("path", EMBEDDINGS)
async def test_the_stay_of_an_embedding_model_is_clamped(shared, path):
    """The same holds for vectors."""
    body = {"model": "vectors", "keep_alive": -1, **EMBEDDINGS[path]}
    assert (await ask(shared, Scope.INFER, "POST", path, body))[0] == 200
    assert shared[0].scripted.asked[-1].keep_alive_seconds == DEFAULT_SECONDS


async def test_nobody_but_an_admin_sends_a_model_away(shared):
    """A prompt with a stay of 0 is answered, and the model stays as long as the settings say."""
    body = {"model": "scripted:1b", "prompt": "hi", "stream": False, "keep_alive": 0}
    for scope, expected in ((Scope.INFER, None), (Scope.ADMIN, 0.0)):
        assert (await ask(shared, scope, "POST", "/api/generate", body))[0] == 200
        assert shared[0].scripted.asked[-1].keep_alive_seconds == expected


async def test_a_shorter_stay_is_anybodys(shared):
    """Less than the settings say passes as it is."""
    body = {"model": "scripted:1b", "prompt": "hi", "stream": False, "keep_alive": 7}
    assert (await ask(shared, Scope.INFER, "POST", "/api/generate", body))[0] == 200
    assert shared[0].scripted.asked[-1].keep_alive_seconds == 7.0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/generate", {"prompt": ""}),
        ("/api/generate", {"keep_alive": 0}),
        ("/api/generate", {"prompt": "", "keep_alive": -1}),
        ("/api/chat", {"messages": []}),
        ("/api/chat", {"keep_alive": 0}),
        ("/api/embeddings", {"prompt": ""}),
    ],
)
async def test_loading_and_unloading_is_for_admins(shared, path, body):
    """A request without a prompt does nothing but load or unload."""
    body = {"model": "scripted:1b", **body}
    assert (await ask(shared, Scope.INFER, "POST", path, body))[0] == 403
    assert (await ask(shared, Scope.ADMIN, "POST", path, body))[0] == 200


async def test_an_empty_batch_loads_nothing_for_others(shared):
    """A list without texts has no vectors, whoever asks."""
    body = {"model": "vectors", "input": []}
    status, text = await ask(shared, Scope.INFER, "POST", "/api/embed", body)
    assert (status, '"embeddings":[]' in text) == (200, True)


@pytest.mark.parametrize("path", [*GENERATIONS, *EMBEDDINGS])
@pytest.mark.parametrize("spelling", ["header", "field"])
async def test_the_most_urgent_class_is_for_admins(shared, path, spelling):
    """Nobody else passes all others in the queue."""
    model = "vectors" if path in EMBEDDINGS else "scripted:1b"
    body = {"model": model, **(GENERATIONS | EMBEDDINGS)[path]}
    headers = {"x-homeport-priority": "critical"} if spelling == "header" else {}
    if spelling == "field":
        body["homeport"] = {"priority": "critical"}
    assert (await ask(shared, Scope.INFER, "POST", path, body, **headers))[0] == 403
    assert (await ask(shared, Scope.ADMIN, "POST", path, body, **headers))[0] == 200


async def test_a_template_is_for_admins(shared):
    """A template is a program of sorts: it comes from who runs the server."""
    body = {"model": "scripted:1b", "prompt": "hi", "stream": False, "template": "{{ .Prompt }}"}
    status, text = await ask(shared, Scope.INFER, "POST", "/api/generate", body)
    assert status == 403, text


async def test_everybody_administers_a_server_without_keys(served):
    """On loopback, until a key is made, all is as with Ollama."""
    body = {"model": "scripted:1b", "keep_alive": -1, "prompt": "", "stream": False}
    assert (await served.json("POST", "/api/generate", body))[0] == 200
    headers = {"x-homeport-priority": "critical"}
    body = {"model": "scripted:1b", "prompt": "hi", "stream": False, "keep_alive": -1}
    assert (await served.json("POST", "/api/generate", body, headers=headers))[0] == 200
    assert served.scripted.asked[-1].keep_alive_seconds == float("inf")
