"""The page of fields, generated from the structs; what it says is refused or ignored is tried out.

``python tests/docs/test_http_fields_page.py`` writes the page anew.
"""

import re
from pathlib import Path

import aiohttp
import attrs
import msgspec
import pytest

from homeport import BackendKind, BackendSpec, Capability, Settings, hookimpl
from homeport.config.settings import PluginSettings
from homeport.runtime import Runtime
from homeport.server.endpoints import ENDPOINTS
from homeport.server.listener import serve
from homeport.server.schemas.terms import RequestTerms
from homeport.testing import EchoBackend

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "http-fields.md"

INTRODUCTION = """# Fields of requests

Every route that takes a body, and what becomes of each of its fields. *Supported* fields do what the API that
they come from says. *Ignored* ones are accepted and change nothing, as are all that are not named here.
*Refused* ones get an error that names them, because an answer without them would not be what was asked for.
Whether a model can do what a field asks for (tools, thoughts, pictures, text before a suffix) is another
question; where it cannot, that is an error too.

The same in a form for programs: `GET /openapi.json`. The routes themselves: [HTTP API](http-api.md).
"""

VIEWS = "pictures are not read yet"
CLOUD = "belongs to OpenAI's service"
STORED = "nothing is kept between requests"
LOOKS = [{"role": "user", "content": "hi", "images": ["aGk="]}]

REFUSED = {
    ("/api/generate", "images"): (["aGk="], VIEWS),
    ("/api/chat", "messages[].images"): ({"messages": LOOKS}, VIEWS),
    ("/api/create", "adapters"): ({"a": "sha256:" + "0" * 64}, "501"),
    ("/api/create", "draft_files"): ({"a": "sha256:" + "0" * 64}, "501"),
    ("/api/create", "renderer"): ("x", "501"),
    ("/api/create", "parser"): ("x", "501"),
    ("/api/create", "remote_host"): ("https://x", "501"),
    ("/v1/chat/completions", "audio"): ({"voice": "x", "format": "wav"}, "no model here speaks"),
    ("/v1/chat/completions", "modalities"): (["text", "audio"], 'but for `["text"]`'),
    ("/v1/chat/completions", "web_search_options"): (
        {"search_context_size": "low"},
        "nothing is searched for",
    ),
    ("/v1/completions", "best_of"): (5, "but for the value of `n`"),
    ("/v1/responses", "previous_response_id"): ("resp_1", STORED),
    ("/v1/responses", "conversation"): ("conv_1", STORED),
    ("/v1/responses", "background"): (True, "responses run while their client waits"),
    ("/v1/responses", "prompt"): ({"id": "pmpt_1"}, "no prompts are stored"),
    ("/v1/systemone", "assets"): ({"a": "b"}, VIEWS),
}
"""A value that is refused, and why; a field within another is given with its whole body."""

_OPENAI_CHAT = (
    "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
    "prompt_cache_options", "prompt_cache_retention", "verbosity", "prediction", "moderation",
)  # fmt: skip
_OPENAI_RESPONSES = (
    "include", "store", "user", "service_tier", "prompt_cache_key", "safety_identifier", "stream_options",
)  # fmt: skip
_UNUSED_OPTIONS = (
    "num_keep", "num_batch", "num_thread", "num_gpu", "main_gpu", "draft_num_predict", "use_mmap", "mirostat",
    "mirostat_eta", "mirostat_tau", "tfs_z", "penalize_newline", "low_vram", "f16_kv", "logits_all",
    "vocab_only", "use_mlock", "embedding_only", "numa",
)  # fmt: skip
IGNORED = {
    ("/api/generate", "shift"): "a full window ends the answer with `length`",
    ("/api/chat", "shift"): "a full window ends the answer with `length`",
    ("/api/generate", "options"): "of them " + ", ".join(f"`{name}`" for name in _UNUSED_OPTIONS),
    ("/api/pull", "insecure"): "",
    ("/api/pull", "username"): "",
    ("/api/pull", "password"): "",
    ("/api/create", "info"): "",
    **{("/v1/chat/completions", name): CLOUD for name in _OPENAI_CHAT},
    ("/v1/completions", "user"): CLOUD,
    ("/v1/embeddings", "user"): CLOUD,
    **{
        ("/v1/responses", name): CLOUD
        for name in (
            "include",
            "store",
            "user",
            "service_tier",
            "prompt_cache_key",
            "safety_identifier",
            "stream_options",
        )
    },
    **{("/v1/messages", name): "belongs to Anthropic's service" for name in ("metadata", "service_tier")},
    **{
        ("/v1/decisions", name): CLOUD
        for name in ("prompt_cache_key", "prompt_cache_options", "safety_identifier")
    },
}
"""What changes nothing; most of it is in no struct."""
PARTLY = frozenset({("/api/generate", "options")})
"""Supported fields, parts of which are ignored."""
NOTES = {
    ("/api/generate", "template"): "for keys with the scope `admin`",
    ("/api/pull", "force"): "homeport's own: fetch a model again that is there",
    ("/api/pull", "quant"): "homeport's own: [what to make of its weights](weights.md)",
}
"""What else is to be said of a supported field."""


def takers():
    """List the routes that take JSON."""
    return [endpoint for endpoint in ENDPOINTS if endpoint.wire and endpoint.wire.request]


def rows(endpoint):
    """List field, treatment and note of one route."""
    own = [field.encode_name for field in msgspec.structs.fields(endpoint.wire.request)]
    stated = [name for path, name in (*REFUSED, *IGNORED) if path == endpoint.path]
    for name in (*own, *(name for name in stated if name not in own)):
        key = (endpoint.path, name)
        if key in REFUSED:
            yield name, "refused", REFUSED[key][1]
        elif key in IGNORED:
            yield name, "partly ignored" if key in PARTLY else "ignored", IGNORED[key]
        else:
            yield name, "supported", NOTES.get(key, "")


def page():
    """Write the page."""
    parts = [INTRODUCTION]
    for endpoint in takers():
        lines = "".join(f"| `{name}` | {treatment} | {note} |\n" for name, treatment, note in rows(endpoint))
        heading = f"## {endpoint.method} {endpoint.path}"
        parts.append(f"{heading}\n\n| field | treatment | note |\n|---|---|---|\n{lines}")
    terms = ", ".join(f"`{name}`" for name in RequestTerms.__struct_fields__)
    parts.append(
        "## The object homeport\n\nAll of it is supported: "
        f"{terms}. See [Conditions of a request](http-api.md#conditions-of-a-request). "
        "An unknown field in it is refused.\n"
    )
    return "\n".join(parts)


def test_the_page_is_that_of_the_structs():
    """Every field of every route stands on the page with what becomes of it."""
    assert PAGE.read_text() == page(), "write it anew: python tests/docs/test_http_fields_page.py"


def test_what_is_stated_is_of_a_route():
    """No statement is about a route that is gone."""
    paths = {endpoint.path for endpoint in takers()}
    assert {path for path, _ in (*REFUSED, *IGNORED, *NOTES)} <= paths


class VersatileEcho(EchoBackend):
    """Claims that it can do anything, so that no field is refused because of the model."""

    async def models(self):
        everything = frozenset(Capability) - {Capability.VISION}
        return [attrs.evolve(model, capabilities=everything) for model in await super().models()]


class EchoPlugin:
    @hookimpl
    def homeport_backends(self):
        return [BackendSpec(name="echo", kind=BackendKind.REMOTE, factory=f"{__name__}:VersatileEcho")]


@pytest.fixture
async def http(tmp_path):
    """A client of a server with the echo backend."""
    settings = Settings(home=tmp_path, plugins=PluginSettings(enabled=("echo",), strict=True))
    async with (
        Runtime.open(settings, plugins={"echo": EchoPlugin()}) as runtime,
        serve(runtime, host="127.0.0.1", port=0) as url,
        aiohttp.ClientSession(url) as session,
    ):
        yield session


def example(path):
    endpoint = next(each for each in takers() if each.path == path)
    return {**endpoint.wire.example, "model": "echo"}


@pytest.mark.parametrize(("path", "field"), REFUSED, ids=lambda each: each)
async def test_what_is_refused_is_named(http, path, field):
    """The error tells the field, and comes before any answer."""
    value, _ = REFUSED[path, field]
    body = {**example(path), **(value if "[]" in field else {field: value})}
    async with http.post(path, json=body) as response:
        text = await response.text()
        assert response.status in (400, 501), text
        assert re.search(field.rpartition(".")[2].rstrip("s"), text) or "vision" in text, text


@pytest.mark.parametrize(
    ("path", "field"),
    [
        key
        for key in IGNORED
        if key not in PARTLY and key[0] not in ("/api/pull", "/api/create", "/v1/decisions")
    ],
    ids=lambda each: each,
)
async def test_what_is_ignored_changes_nothing(http, path, field):
    """The answer is the same with and without it."""
    for value in ("x", True, {"a": 1}, 7) if field != "shift" else (True, False):
        async with http.post(path, json={**example(path), field: value}) as response:
            assert response.status == 200, await response.text()


@pytest.mark.parametrize("name", _UNUSED_OPTIONS)
async def test_an_option_without_effect_is_taken(http, name):
    """What only Ollama's own engine knows fails nothing."""
    value = True if name == "use_mmap" else 1
    body = {**example("/api/generate"), "options": {name: value}}
    async with http.post("/api/generate", json=body) as response:
        assert response.status == 200, await response.text()


if __name__ == "__main__":
    PAGE.write_text(page())
