import asyncio
import json

import pytest

from homeport import ChatPrompt, GenerationRequest, Message, ModelNotFoundError, Role, TextDelta
from homeport.testing.raw_server import Move, chunk, head, whole


def streamed(*objects):
    return [head(), *(chunk(json.dumps(each).encode() + b"\n") for each in objects), chunk(b"")]


SAID = streamed({"message": {"content": "Hi"}}, {"done": True})
PULLED = streamed(
    {"status": "pulling manifest"},
    {"status": "pulling 12", "digest": "sha256:12", "total": 600, "completed": 1},
    {"status": "pulling 34", "digest": "sha256:34", "total": 400},
    {"status": "success"},
)
REQUEST = GenerationRequest(id="r", model="tiny:latest", prompt=ChatPrompt((Message(Role.USER, "Hi"),)))


@pytest.fixture
def empty(raw):
    raw.play("GET", "/api/version", [whole({"version": "0.33.3"})])
    raw.play("GET", "/api/tags", [whole({"models": []})])
    raw.play("POST", "/api/chat", SAID)
    raw.play("POST", "/api/pull", PULLED)
    return raw


async def answer(backend, request=REQUEST):
    await backend.models()
    async with backend.generate(request) as events:
        return "".join([event.text async for event in events if isinstance(event, TextDelta)])


def paths(raw):
    return [asked.path for asked in raw.asked if asked.method == "POST"]


async def test_nothing_is_pulled_unless_it_is_allowed(empty, start):
    """An absent model is a 404 with the command to run."""
    empty.play("POST", "/api/chat", [whole({"error": "model 'tiny' not found"}, 404)])
    with pytest.raises(ModelNotFoundError, match="ollama pull tiny"):
        await answer(start(empty, pull=("other",)))
    assert paths(empty) == ["/api/chat"]


async def test_allowed_model_is_listed_and_pulled_when_it_is_asked_for(empty, start):
    """It is offered before it is there, or nobody could ask for it."""
    backend = start(empty, pull=("tiny",), pull_most_bytes=1000)
    assert [model.name for model in await backend.models()] == ["tiny:latest"]
    assert await answer(backend) == "Hi"
    assert paths(empty) == ["/api/pull", "/api/chat"]


async def test_model_is_pulled_once_for_all_who_ask(empty, start):
    """Two requests at the same time cause one pull."""
    backend = start(empty, pull=("tiny",))
    await asyncio.gather(answer(backend), answer(backend))
    assert paths(empty).count("/api/pull") == 1


async def test_model_that_is_too_large_is_not_pulled_to_its_end(empty, start):
    """The pull is given up as soon as its size is known, which stops the other side."""
    empty.play("POST", "/api/pull", [*PULLED[:4], Move.HANG])
    with pytest.raises(ModelNotFoundError):
        await answer(start(empty, pull=("tiny",), pull_most_bytes=999))
    async with asyncio.timeout(5):
        await empty.left.wait()
    assert "/api/chat" not in paths(empty)


async def test_pull_that_fails_is_told(empty, start):
    """A model that nobody has stays unknown."""
    empty.play("POST", "/api/pull", streamed({"error": "pull model manifest: file does not exist"}))
    with pytest.raises(ModelNotFoundError):
        await answer(start(empty, pull=("tiny",)))


async def test_pull_goes_on_when_nobody_waits_for_it(empty, start):
    """A client that leaves does not throw away what was transferred; the next one finds the model."""
    backend = start(empty, pull=("tiny",))
    await backend.models()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await answer(backend)
    assert await answer(backend) == "Hi"
    assert paths(empty).count("/api/pull") == 1
