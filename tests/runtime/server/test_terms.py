import pytest

from homeport import (
    BackendError,
    Finished,
    FinishReason,
    GenerationError,
    Priority,
    PromptAccepted,
    TextDelta,
    Usage,
)

ROUTES = {
    "/api/generate": {"model": "scripted:1b", "prompt": "hi", "stream": False},
    "/api/chat": {"model": "scripted:1b", "messages": [{"role": "user", "content": "hi"}], "stream": False},
    "/api/embed": {"model": "vectors", "input": "hi"},
    "/api/embeddings": {"model": "vectors", "prompt": "hi"},
    "/v1/completions": {"model": "scripted:1b", "prompt": "hi"},
    "/v1/chat/completions": {"model": "scripted:1b", "messages": [{"role": "user", "content": "hi"}]},
    "/v1/embeddings": {"model": "vectors", "input": "hi"},
}


def error_of(answer):
    error = answer["error"]
    return error if isinstance(error, str) else error["message"]


@pytest.mark.parametrize("path", ROUTES)
async def test_terms_reach_the_backend_from_every_route(served, path):
    """What the object says is what the request carries; it wins over the header."""
    given = {
        "priority": "low",
        "agent": "scribe",
        "job": "j1",
        "tags": ["a", "b"],
        "task": "summary",
        "seed": 7,
    }
    headers = {"x-homeport-priority": "high"}
    status, _ = await served.json("POST", path, {**ROUTES[path], "homeport": given}, headers=headers)
    asked = served.scripted.asked[-1]
    assert status == 200
    assert asked.priority is Priority.LOW
    assert (asked.terms.agent, asked.terms.job, asked.terms.tags) == ("scribe", "j1", ("a", "b"))
    assert (asked.terms.task, asked.terms.seed) == ("summary", 7)


@pytest.mark.parametrize(
    ("value", "priority"), [("background", Priority.BACKGROUND), (" HIGH ", Priority.HIGH)]
)
async def test_header_says_how_urgent_a_request_is(served, value, priority):
    """In any case, with blanks around it."""
    path = "/api/generate"
    await served.json("POST", path, ROUTES[path], headers={"x-homeport-priority": value})
    assert served.scripted.asked[-1].priority is priority


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"priority": "urgent"}, "homeport.priority must be one of critical, high, normal, low, background"),
        ({"deadline_seconds": 0}, "homeport.deadline_seconds must be between 0.001 and 86400"),
        ({"deadline_seconds": "soon"}, "homeport.deadline_seconds: expected float, got str"),
        ({"tags": ["x"] * 17}, "homeport.tags must hold at most 16 texts, got 17"),
        ({"agent": "x" * 129}, "homeport.agent must hold at most 128 characters, got 129"),
        ({"agent": "a\nb"}, "homeport.agent must be printable"),
        (
            {"strategy": "luck"},
            "homeport.strategy must be one of balanced, speed, quality, cost",
        ),
        ({"seed": -1}, "homeport.seed must be between 0 and"),
        ({"localonly": True}, "homeport.localonly: unknown field; did you mean 'local_only'?"),
        ({"x": True}, "homeport.x: unknown field; known: priority"),
        ([], "homeport: expected object, got array"),
    ],
    ids=str,
)
async def test_wrong_terms_are_refused_by_name(served, given, message):
    """A misspelt wish for privacy does not pass in silence."""
    for path in ("/api/chat", "/v1/embeddings"):
        status, answer = await served.json("POST", path, {**ROUTES[path], "homeport": given})
        assert status == 400
        assert message in error_of(answer)
    assert not served.scripted.asked


async def always_breaking(request):
    yield PromptAccepted(1)
    yield TextDelta("one ")
    raise GenerationError("broken")


@pytest.mark.parametrize("path", ["/api/generate", "/v1/completions"])
async def test_answer_that_breaks_off_says_what_was_used(served, path):
    """The last object of a stream is an error, marked as behind a part, without an end mark."""
    served.scripted.script = always_breaking
    async with served.http.post(path, json={**ROUTES[path], "stream": True}) as response:
        text = await response.text()
    assert response.status == 200
    assert '"partial":true' in text
    assert "[DONE]" not in text
    assert '"done":true' not in text


@pytest.mark.parametrize("path", ["/api/generate", "/v1/completions"])
async def test_answer_begins_again_for_those_who_asked_for_it(served, path):
    """A mark says that what came before is void, and a whole answer is without it."""
    tries = []

    async def breaking_once(request):
        tries.append(request)
        yield PromptAccepted(1)
        yield TextDelta("one ")
        if len(tries) % 2:
            raise BackendError("broken")
        yield TextDelta("two")
        yield Finished(FinishReason.STOP, Usage(prompt_tokens=1, completion_tokens=2))

    served.scripted.script = breaking_once
    body = {**ROUTES[path], "homeport": {"on_stream_failure": "restart"}}
    async with served.http.post(path, json={**body, "stream": True}) as response:
        text = await response.text()
    before, mark, after = text.partition('"homeport":{"restarted":true,"index":0}')
    assert mark
    assert before.count('"one "') == after.count('"one "') == 1
    assert '"two"' in after
    status, answer = await served.json("POST", path, {**body, "stream": False})
    assert status == 200
    assert answer.get("response", answer.get("choices", [{}])[0].get("text")) == "one two"
