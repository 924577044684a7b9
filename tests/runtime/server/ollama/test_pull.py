"""``POST /api/pull``."""

import json

import pytest

from homeport.models.flight import PullProgress
from homeport.server.ollama.progress import _Pace


async def _lines(served, body: dict) -> tuple[int, list[dict]]:
    async with served.http.post("/api/pull", json=body) as response:
        assert response.content_type == "application/x-ndjson"
        return response.status, [json.loads(line) for line in (await response.text()).splitlines()]


async def test_a_pull_of_what_is_there_ends_with_success(served, settings, install):
    """The lines begin with the manifest and end with success; no key is null."""
    install(settings, "tiny")
    status, lines = await _lines(served, {"model": "tiny"})
    assert status == 200
    assert lines[0] == {"status": "pulling manifest"}
    assert lines[-1] == {"status": "success"}
    assert await served.json("POST", "/api/pull", {"name": "tiny", "stream": False}) == (
        200,
        {"status": "success"},
    )


async def test_a_model_that_nobody_has_fails_in_the_stream(served):
    """The status stays 200 and the last line is an error with Ollama's text."""
    status, lines = await _lines(served, {"model": "nobody-has-this"})
    assert status == 200
    assert lines[0] == {"status": "pulling manifest"}
    assert lines[-1]["error"] == "pull model manifest: file does not exist"


async def test_a_model_that_nobody_has_fails_with_500_when_not_streamed(served):
    """Without a stream the same failure has a status."""
    status, answer = await served.json("POST", "/api/pull", {"model": "nobody-has-this", "stream": False})
    assert (status, answer["error"]) == (500, "pull model manifest: file does not exist")


@pytest.mark.parametrize("name", ["", "../x", "a/b/c/d", "a:", None])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_bad_name_is_refused_before_the_stream(served, name, stream):
    """A name that can be no model is a 400."""
    answer = await served.json("POST", "/api/pull", {"model": name, "stream": stream})
    assert answer == (400, {"error": "invalid model name"})


@pytest.mark.parametrize("stream", [True, False])
async def test_an_unknown_quantisation_is_refused_before_the_stream(served, stream):
    """The extension ``quant`` has a few values, which the error lists."""
    body = {"model": "tiny", "stream": stream, "quant": "q4_k_m"}
    status, answer = await served.json("POST", "/api/pull", body)
    assert status == 400
    assert answer["error"] == "quant is 'q4_k_m', it can be auto, int4, int8, bf16, fp32"


async def test_a_quantisation_can_be_asked_for(served, settings, install):
    """An installed model of that type is not fetched again."""
    install(settings, "tiny", weights="int4")
    body = {"model": "tiny", "stream": False, "quant": "int4"}
    assert await served.json("POST", "/api/pull", body) == (200, {"status": "success"})


async def test_another_quantisation_than_the_installed_one_is_fetched(served, settings, install):
    """The fetch begins; the shelf of these tests is none that a fetching process can import."""
    install(settings, "tiny", weights="int4")
    status, answer = await served.json(
        "POST", "/api/pull", {"model": "tiny", "stream": False, "quant": "int8"}
    )
    assert status == 500
    assert answer["error"].startswith("fetching failed")


def test_lines_of_one_stage_come_at_a_pace():
    """The first and the last line of a stage pass, those between at most every 60 ms."""
    pace = _Pace()
    reports = [PullProgress(status="pulling a", total=1000, completed=done) for done in range(1001)]
    passed = [report for report in reports if pace.admits(report)]
    assert passed[0].completed == 0
    assert passed[-1].completed == 1000
    assert len(passed) < 100
    assert pace.admits(PullProgress(status="success"))
