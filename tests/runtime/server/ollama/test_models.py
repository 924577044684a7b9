"""The routes about models: tags, ps, delete, version."""

import attrs
import msgspec
import pytest

from homeport import ResidentModel
from homeport.server.ollama.models import _running, details_of


async def test_the_root_greets(served):
    """Clients look for these words before they start."""
    async with served.http.get("/") as response:
        assert (response.content_type, await response.text()) == ("text/plain", "Ollama is running")


async def test_the_version_is_digits_and_dots(served):
    """Clients split it at the dots and expect numbers."""
    assert await served.json("GET", "/api/version") == (200, {"version": "0.35.0"})


async def test_tags_lists_models_newest_first(served):
    """Every model once, with the fields that clients read, in their formats."""
    status, answer = await served.json("GET", "/api/tags")
    assert status == 200
    assert [row["name"] for row in answer["models"]] == [
        "scripted:1b",
        "vectors:latest",
        "echo:latest",
        "acme/tiny:q8",
    ]
    assert answer["models"][0] == {
        "name": "scripted:1b",
        "model": "scripted:1b",
        "modified_at": "2026-03-01T12:30:00.000000+00:00",
        "size": 1000,
        "digest": "ab" * 32,
        "details": {
            "parent_model": "",
            "format": "safetensors",
            "family": "llama",
            "families": ["llama"],
            "parameter_size": "1.1B",
            "quantization_level": "Q4_1",
            "context_length": 2048,
            "embedding_length": 64,
        },
        "capabilities": ["completion"],
    }
    assert answer["models"][1]["capabilities"] == ["embedding"]
    assert answer["models"][1]["details"]["format"] == "onnx"
    assert answer["models"][3]["size_build"] == 2000


async def test_ps_is_a_list_even_when_nothing_is_loaded(served):
    """null would crash clients."""
    assert await served.json("GET", "/api/ps") == (200, {"models": []})


def test_a_resident_model_in_ollamas_words(models):
    """Resident bytes, no VRAM, and a date for for ever that calendars can hold."""
    resident = ResidentModel(
        info=models["scripted:1b"], resident_bytes=77, context_length=512, expires_at=None
    )
    row = _running(resident)
    assert (row.size, row.size_vram, row.context_length, row.digest) == (77, 0, 512, "ab" * 32)
    assert (row.size_predicted, row.in_use, row.pinned) == (0, 0, False)
    assert "2100" < row.expires_at[:4] < "2200"
    assert row.expires_at.endswith("+00:00")
    assert len(row.expires_at) == len("2026-03-01T12:30:00.000000+00:00")


def test_what_a_resident_model_computes_in_is_told_where_it_is_known(models):
    """Ollama has no such field, so it is left out where it would be empty."""
    resident = ResidentModel(
        info=models["scripted:1b"], resident_bytes=77, context_length=512, expires_at=None
    )
    assert b"computes" not in msgspec.json.encode(_running(resident))
    assert _running(attrs.evolve(resident, computes="fp32, torch")).computes == "fp32, torch"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (134_515_008, "134.52M"),
        (1_000_000_000, "1B"),
        (6_700_000_000, "6.7B"),
        (22_000_000, "22M"),
        (5_000, "5K"),
        (12, "12"),
        (0, ""),
    ],
)
def test_parameter_counts_as_ollama_writes_them(models, count, text):
    """Billions with one digit, millions with two, none where they are zero."""
    model = attrs.evolve(models["scripted:1b"], parameter_count=count)
    assert details_of(model).parameter_size == text


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "model is required"),
        ({"model": ""}, 400, "model is required"),
        ({"model": "nope"}, 404, "model 'nope' not found"),
        ({"name": "nope:7b"}, 404, "model 'nope:7b' not found"),
        ({"model": "../etc/passwd"}, 400, 'name "../etc/passwd" is invalid'),
        ({"model": "a\u0000b"}, 400, 'name "a\\u0000b" is invalid'),
        ({"model": "/" * 9999}, 400, f'name "{"/" * 100}…" is invalid'),
    ],
)
async def test_delete_names_what_it_cannot_delete(served, body, status, text):
    """Missing, unknown and malformed names get Ollama's texts."""
    answer = await served.json("DELETE", "/api/delete", body)
    assert (answer[0], answer[1]["error"]) == (status, text)


async def test_delete_answers_with_an_empty_200(served, settings, install):
    """Clients take anything but 200 for a failure; afterwards the name is gone."""
    install(settings, "kept:1", "gone:1")
    async with served.http.delete("/api/delete", json={"model": "gone:1"}) as response:
        assert (response.status, await response.read()) == (200, b"")
    names = {path.parent.name for path in (settings.home / "models" / "names").rglob("*.json")}
    assert names == {"kept"}
    status, answer = await served.json("DELETE", "/api/delete", {"model": "gone:1"})
    assert (status, answer["error"]) == (404, "model 'gone:1' not found")
