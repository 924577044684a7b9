"""``POST /api/create`` and ``/api/copy``."""

import asyncio
import json

import pytest

from homeport.models.names import ModelName
from homeport.models.store import ModelStore


async def _lines(served, body: dict) -> tuple[int, list[dict]]:
    async with served.http.post("/api/create", json=body) as response:
        assert response.content_type == "application/x-ndjson", await response.text()
        return response.status, [json.loads(line) for line in (await response.text()).splitlines()]


async def _stored(settings, name):
    return await asyncio.to_thread(ModelStore(settings.home / "models").find, ModelName.parse(name))


async def test_a_model_is_made_step_by_step(served, settings, install):
    """Lines of NDJSON end with success, and the store has all that was said."""
    install(settings, "tiny")
    body = {
        "model": "mine",
        "from": "tiny",
        "system": "Be brief.",
        "template": "{{ .System }}{{ .Prompt }}",
        "messages": [{"role": "USER", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
        "parameters": {"stop": ["a", "b"], "num_ctx": 512, "seed": None},
        "license": ["one", "two"],
        "requires": "0.14.0",
        "info": {"anything": 1},
    }
    status, lines = await _lines(served, body)
    assert status == 200
    assert lines[0]["status"].startswith("creating new layer sha256:")
    assert lines[-2:] == [{"status": "writing manifest"}, {"status": "success"}]
    manifest = (await _stored(settings, "mine")).manifest
    assert (manifest.system, manifest.written_template) == ("Be brief.", "{{ .System }}{{ .Prompt }}")
    assert [(each.role, each.content) for each in manifest.messages] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
    ]
    assert (manifest.license, manifest.requires) == ("one\ntwo", "0.14.0")
    assert manifest.parameters == {"stop": ("a", "b"), "num_ctx": 512}
    assert manifest.parent.endswith("/tiny:latest")


@pytest.mark.parametrize("field", ["model", "name"])
async def test_without_a_stream_the_last_line_is_the_answer(served, settings, install, field):
    """Both spellings of the name are taken."""
    install(settings, "tiny")
    body = {field: "mine", "from": "tiny", "stream": False}
    assert await served.json("POST", "/api/create", body) == (200, {"status": "success"})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "invalid model name"),
        ({"model": "a/b/c/d", "from": "tiny"}, "invalid model name"),
        ({"model": "x", "from": "../x"}, "invalid model name"),
        ({"model": "x"}, "neither 'from' or 'files' was specified"),
        ({"model": "x", "files": {}}, "no files provided to convert"),
        ({"model": "x", "files": {"a.gguf": "sha256:1"}}, "invalid digest format"),
        ({"model": "x", "files": {"../a": "sha256:" + "0" * 64}}, "file path must be relative"),
        ({"model": "x", "files": {"a": "sha256:" + "0" * 64}}, f'blob "sha256:{"0" * 64}" not found'),
        ({"model": "x", "from": "tiny", "template": "{{ if }}"}, "template error: line 1: unexpected ''"),
        ({"model": "x", "from": "tiny", "quantize": "q9"}, "unknown type 'q9': quantize can be"),
        ({"model": "x", "from": "tiny", "quantization": "q9"}, "unknown type 'q9'"),
        ({"model": "x", "from": "tiny", "requires": "new"}, "requires must be a valid semver (e.g. 0.14.0)"),
        (
            {"model": "x", "from": "tiny", "parameters": {"num_ctx": "x"}},
            'option "num_ctx" must be of type integer',
        ),
        ({"model": "x", "from": "tiny", "parameters": {"stop": "x"}}, 'option "stop" must be of type array'),
        ({"model": "x", "from": "tiny", "parameters": {"what": {}}}, "parameters.what is {}, expected"),
        ({"model": "x", "from": "tiny", "parameters": {"a b": 1}}, "'a b' is no name of a parameter"),
        (
            {"model": "x", "from": "tiny", "messages": [{"role": "tool"}]},
            'message role must be one of "system"',
        ),
        (
            {"model": "x", "from": "tiny", "license": [1]},
            "invalid request: license[0]: expected str, got int",
        ),
        ({"model": "x", "from": 1}, "invalid request: from: expected str, got int"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_cannot_be_made_is_refused_before_the_stream(  # noqa: PLR0917
    served, settings, install, body, text, stream
):
    """Status 400 with the words of the wire contract, and nothing is made."""
    install(settings, "tiny")
    status, answer = await served.json("POST", "/api/create", body | {"stream": stream})
    assert status == 400
    assert text in answer["error"]
    assert await _stored(settings, "x") is None


@pytest.mark.parametrize("field", ["adapters", "draft_files", "renderer", "parser", "remote_host"])
async def test_what_homeport_does_not_do_is_said(served, field):
    """Status 501 names it; empty values ask for nothing."""
    body = {"model": "x", "from": "tiny", field: "y"}
    assert await served.json("POST", "/api/create", body) == (501, {"error": f"{field} is not supported"})
    _, answer = await served.json("POST", "/api/create", {"model": "x", field: {}})
    assert answer["error"] == "neither 'from' or 'files' was specified"


async def test_a_base_that_nobody_has_fails_like_its_pull(served):
    """Within the stream, or with a status."""
    body = {"model": "mine", "from": "nobody-has-this"}
    status, lines = await _lines(served, body)
    assert (status, lines[0]) == (200, {"status": "pulling manifest"})
    assert lines[-1]["error"] == "pull model manifest: file does not exist"
    status, answer = await served.json("POST", "/api/create", body | {"stream": False})
    assert (status, answer["error"]) == (500, "pull model manifest: file does not exist")


async def test_a_copy_is_an_alias(served, settings, install):
    """An empty body says that it is done; both names have one digest."""
    install(settings, "tiny")
    async with served.http.post("/api/copy", json={"source": "tiny", "destination": "me/b:c"}) as response:
        assert (response.status, await response.read()) == (200, b"")
    copy = await _stored(settings, "me/b:c")
    assert copy.digest == (await _stored(settings, "tiny")).digest
    async with served.http.delete("/api/delete", json={"model": "tiny"}) as response:
        assert response.status == 200
    assert await _stored(settings, "tiny") is None
    assert await _stored(settings, "me/b:c") == copy


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"source": "nope", "destination": "x"}, 404, 'model "nope" not found'),
        ({"source": "a/b/c/d", "destination": "x"}, 400, 'source "a/b/c/d" is invalid'),
        ({"source": "tiny", "destination": "../x"}, 400, 'destination "../x" is invalid'),
        ({"destination": "x"}, 400, 'source "" is invalid'),
        ({"source": "tiny"}, 400, 'destination "" is invalid'),
    ],
)
async def test_what_cannot_be_copied_is_named(served, settings, install, body, status, text):  # noqa: PLR0917
    """Unknown sources and names that are none."""
    install(settings, "tiny")
    answer = await served.json("POST", "/api/copy", body)
    assert (answer[0], answer[1]["error"]) == (status, text)
