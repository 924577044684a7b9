import asyncio
import json
import math
from datetime import UTC, datetime

import pytest

from homeport import (
    Addressed,
    BackendError,
    BackendRefusedError,
    Capability,
    ChatPrompt,
    EmbeddingRequest,
    Finished,
    FinishReason,
    GenerationError,
    GenerationRequest,
    InvalidRequestError,
    Message,
    ModelNotFoundError,
    OverloadedError,
    Reporting,
    Role,
    Sampling,
    Terms,
    TextDelta,
    TextPrompt,
    TokenLogprob,
    TokenPrompt,
    UnsupportedError,
    Usage,
)
from homeport.testing.raw_server import Move, chunk, head, whole
from homeport.upstream import listing
from homeport_ollama.backend import OllamaBackend
from homeport_ollama.config import OllamaConfig

from .conftest import SHOWN, TAG, play_models

HELLO = (
    {"message": {"role": "assistant", "content": "Hel"}, "done": False},
    {"message": {"role": "assistant", "content": "l\u00f6"}, "done": False},
    {
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "length",
        "prompt_eval_count": 11,
        "prompt_eval_cached_count": 8,
        "prompt_eval_duration": 2_000_000_000,
        "eval_count": 2,
        "eval_duration": 500_000_000,
    },
)
FINISHED = Finished(
    FinishReason.LENGTH,
    Usage(prompt_tokens=11, cached_tokens=8, prompt_seconds=2.0, completion_tokens=2, completion_seconds=0.5),
)


def lines(*objects):
    return b"".join(json.dumps(each).encode() + b"\n" for each in objects)


def streamed(*objects):
    return [head(), *(chunk(lines(each)) for each in objects), chunk(b"")]


def ask(text="Hi", **fields):
    prompt = fields.pop("prompt", None) or ChatPrompt((Message(Role.USER, text),))
    return GenerationRequest(id="r", model="llama3.2:latest", prompt=prompt, **fields)


async def answer(backend, request):
    async with backend.generate(request) as events:
        return [event async for event in events]


def text_of(events):
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def sent_to(raw, path):
    return next(asked.body for asked in raw.asked if asked.path == path)


async def test_models_are_described_by_tags_and_show(ollama, start):
    """Capabilities, window and time are those that the other side tells; origin is the backend's name."""
    (model,) = await start(ollama).models()
    assert (model.name, model.digest, model.backend) == ("llama3.2:latest", "ab" * 32, "ollama-legacy")
    assert model.modified_at == datetime(2026, 5, 4, 21, 56, 49, 277302, tzinfo=UTC)
    assert model.capabilities == {Capability.COMPLETION, Capability.TOOLS, Capability.THINKING}
    assert (model.context_length, model.parameter_count, model.slots) == (8192, 3_000_000, 2)
    assert not model.is_remote
    assert not model.continues


async def test_model_is_shown_once(ollama, start):
    """What a model can do is remembered as long as its digest stays."""
    backend = start(ollama, health_seconds=0.02)
    await backend.models()
    async with asyncio.timeout(10):
        while sum(each.path == "/api/tags" for each in ollama.asked) < 3:  # noqa: ASYNC110 - a server tells nobody
            await asyncio.sleep(0.01)
    assert sum(asked.path == "/api/show" for asked in ollama.asked) == 1


async def test_look_that_takes_too_long_goes_on_where_it_was(raw, start, monkeypatch):
    """An Ollama with so many models that describing them outlasts a look is there after a few looks."""
    monkeypatch.setattr(listing, "_LOOK_SECONDS", 0.3)
    play_models(raw, {"name": "a:1"}, {"name": "b:1"})
    raw.play("POST", "/api/show", [whole(SHOWN)], [Move.HANG], [whole(SHOWN)])
    backend = start(raw, health_seconds=0.05)
    async with asyncio.timeout(10):
        while len(await backend.models()) != 2:  # noqa: ASYNC110 - a server tells nobody
            await asyncio.sleep(0.01)
    shown = [asked.body["model"] for asked in raw.asked if asked.path == "/api/show"]
    assert shown == ["a:1", "b:1", "b:1"]


async def test_huge_template_is_left_out(raw, start):
    """It is only for people to read, and a thousand models must not fill our memory."""
    play_models(raw, TAG)
    raw.play("POST", "/api/show", [whole(SHOWN | {"template": "x" * 100_000})])
    (model,) = await start(raw).models()
    assert (model.template, model.context_length) == ("", 8192)


@pytest.mark.parametrize(
    ("name", "family", "expected"),
    [
        ("m:1", "llama", Capability.COMPLETION),
        ("nomic-embed-text:latest", "nomic-bert", Capability.EMBEDDING),
    ],
)
async def test_older_server_without_capabilities_is_guessed_at(raw, start, name, family, expected):
    """A model that cannot be shown is known by its name and family."""
    raw.play("GET", "/api/version", [whole({"version": "0.1.0"})])
    raw.play("GET", "/api/tags", [whole({"models": [{"name": name, "details": {"family": family}}]})])
    (model,) = await start(raw).models()
    assert model.capabilities == {expected}
    assert len(model.digest) == 64


async def test_absent_server_offers_nothing_and_delays_nobody(start, raw):
    """The list is empty at once where nobody listens, and requests are errors of the backend."""
    backend = OllamaBackend(OllamaConfig(), "http://127.0.0.1:9")
    backend.start()
    assert await backend.models() == ()
    with pytest.raises(BackendError, match="cannot be reached"):
        await answer(backend, ask())
    await backend.aclose()


async def test_request_is_spelt_in_full(ollama, start):
    """Messages, options, window, keep-alive, truncation and the count of hops reach the other side."""
    ollama.play("POST", "/api/chat", streamed(*HELLO))
    backend = start(ollama)
    await backend.models()
    sampling = Sampling(temperature=0.5, seed=7, stop=("x",), max_tokens=9, top_logprobs=2)
    request = ask(
        sampling=sampling,
        context_length=2048,
        truncate=False,
        keep_alive_seconds=math.inf,
        terms=Terms(hops=1),
    )
    assert (await answer(backend, request))[-1] == FINISHED
    sent = ollama.asked[-1]
    assert sent.headers["x-homeport-hops"] == "2"
    options = sent.body.pop("options")
    assert sent.body == {
        "model": "llama3.2:latest",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "truncate": False,
        "logprobs": True,
        "top_logprobs": 2,
        "keep_alive": -1,
    }
    chosen = {"temperature": 0.5, "seed": 7, "stop": ["x"], "num_predict": 9, "num_ctx": 2048, "top_k": 40}
    assert {name: options[name] for name in chosen} == chosen


async def test_text_prompt_goes_raw_with_what_was_begun(ollama, start):
    """Text reaches the model as it is; an answer that was begun is a part of it."""
    said = {"response": " three", "done": True, "done_reason": "stop"}
    ollama.play("POST", "/api/generate", streamed(said))
    events = await answer(start(ollama), ask(prompt=TextPrompt("one"), begun=" two"))
    assert text_of(events) == " three"
    body = sent_to(ollama, "/api/generate")
    assert (body["prompt"], body["raw"]) == ("one two", True)


async def test_context_goes_on_behind_its_tokens(ollama, start):
    """Ids of an earlier exchange go to the one route that takes them, and come back from it."""
    said = {"response": "x", "done": True, "context": [1, 2, 3]}
    ollama.play("POST", "/api/generate", streamed(said))
    messages = (Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hi"))
    events = await answer(start(ollama), ask(prompt=ChatPrompt(messages, context=(1, 2))))
    assert events[-1].context == (1, 2, 3)
    body = sent_to(ollama, "/api/generate")
    assert (body["prompt"], body["system"], body["context"]) == ("Hi", "Be brief.", [1, 2])


@pytest.mark.parametrize(
    "request_",
    [
        ask(prompt=TokenPrompt((1,))),
        ask(begun="Once"),
        ask(sampling=Sampling(max_tokens=0)),
        ask(prompt=ChatPrompt((Message(Role.USER, "a"), Message(Role.ASSISTANT, "b")), context=(1,))),
    ],
)
async def test_what_ollama_cannot_take_is_refused_before_it_is_sent(ollama, start, request_):
    """Nothing is silently dropped."""
    backend = start(ollama)
    await backend.models()
    before = len(ollama.asked)
    with pytest.raises(InvalidRequestError):
        await answer(backend, request_)
    assert len(ollama.asked) == before


async def test_answer_is_the_same_wherever_it_is_split(ollama, start):
    """A stream may be cut into pieces at any byte, also within a character."""
    whole_answer = lines(*HELLO).replace(b"\\u00f6", "ö".encode())
    scripts = [
        [head(), chunk(whole_answer[:place]), chunk(whole_answer[place:]), chunk(b"")]
        for place in range(1, len(whole_answer))
    ]
    ollama.play("POST", "/api/chat", *scripts)
    backend = start(ollama)
    for _ in scripts:
        events = await answer(backend, ask())
        assert (text_of(events), events[-1]) == ("Hellö", FINISHED)
    assert backend.stats()["hit_rate"] > 0.9


async def test_answer_that_is_not_counted_is_guessed_by_its_bytes(ollama, start):
    """A server that packs a whole answer into one line and counts nothing is not taken for one token."""
    packed = {"message": {"content": "word " * 400}, "done": True}
    ollama.play("POST", "/api/chat", streamed(packed))
    events = await answer(start(ollama), ask())
    assert events[-1].usage.completion_tokens == 500


@pytest.mark.parametrize("ending", [[chunk(b"")], [Move.CLOSE], [Move.RESET]])
async def test_answer_that_is_cut_is_an_error_of_the_backend(ollama, start, ending):
    """A stream without its last line is not taken for whole, however it ends."""
    for place in range(2):
        ollama.play("POST", "/api/chat", [*streamed(*HELLO[: place + 1])[:-1], *ending])
        with pytest.raises(BackendError):
            await answer(start(ollama), ask())


@pytest.mark.parametrize("line", [b"nonsense", b"[]", b'{"done":"yes"}', b'{"message":3}', b"\xff\xfe"])
async def test_nonsense_in_a_stream_is_an_error_of_the_backend(ollama, start, line):
    """Lines of another form do not surprise us."""
    ollama.play("POST", "/api/chat", [head(), chunk(line + b"\n"), chunk(b"")])
    with pytest.raises(BackendError, match="nonsense"):
        await answer(start(ollama), ask())


async def test_error_within_a_stream_is_told_by_how_far_it_came(ollama, start):
    """Before any text another try may do; afterwards the generation has failed."""
    backend = start(ollama)
    ollama.play("POST", "/api/chat", streamed({"error": "no memory at /root"}))
    with pytest.raises(BackendError) as before:
        await answer(backend, ask())
    ollama.play("POST", "/api/chat", streamed(HELLO[0], {"error": "no memory at /root"}))
    with pytest.raises(GenerationError) as after:
        await answer(backend, ask())
    assert "/root" not in before.value.public_message + after.value.public_message


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (whole({"error": "model 'llama3.2' not found"}, 404), ModelNotFoundError),
        (whole({"error": "busy"}, 503, Retry_After="7"), OverloadedError),
        (whole({"error": "busy"}, 429, Retry_After="7"), OverloadedError),
        (whole({"error": "who?"}, 401), BackendRefusedError),
        (whole({"error": "bad"}, 400), InvalidRequestError),
        (whole({"error": "oh"}, 500), BackendError),
    ],
)
async def test_refusals_are_typed(ollama, start, said, kind):
    """The class decides on retry and fallback; Retry-After and the command for a missing model are kept."""
    ollama.play("POST", "/api/chat", [said])
    with pytest.raises(kind) as caught:
        await answer(start(ollama), ask())
    if kind is OverloadedError:
        assert caught.value.retry_after_seconds == 7
    if kind is ModelNotFoundError:
        assert caught.value.hint == "Run: ollama pull llama3.2:latest"


async def test_leaving_an_answer_stops_the_other_side(ollama, start):
    """The connection is closed, which is how Ollama learns of it."""
    ollama.play("POST", "/api/chat", [head(), chunk(lines(HELLO[0])), Move.HANG])
    async with start(ollama).generate(ask()) as events:
        assert await anext(events) == TextDelta("Hel")
    async with asyncio.timeout(5):
        await ollama.left.wait()


async def test_log_probabilities_are_read(ollama, start):
    """With their alternatives, in order."""
    entry = {"token": "a", "logprob": -0.1, "top_logprobs": [{"token": "a", "logprob": -0.1}]}
    piece = {"message": {"content": "a"}, "logprobs": [entry]}
    ollama.play("POST", "/api/chat", streamed(piece, HELLO[-1]))
    events = await answer(start(ollama), ask(sampling=Sampling(top_logprobs=1)))
    assert events[0].logprobs == (TokenLogprob("a", -0.1, (("a", -0.1),)),)


def embedding(*texts, **fields):
    return EmbeddingRequest(id="e", model="vectors:latest", inputs=texts, **fields)


async def test_older_route_is_used_where_the_newer_one_is_missing(ollama, start):
    """Vectors are normalised and shortened here then."""
    ollama.play("POST", "/api/embed", [whole(b"404 page not found", 404)])
    ollama.play("POST", "/api/embeddings", [whole({"embedding": [3.0, 4.0, 12.0]})])
    result = await start(ollama).embed(embedding("a", "b", dimensions=2))
    assert result.vectors == ((0.6, 0.8), (0.6, 0.8))
    assert result.prompt_tokens >= 1


async def test_vector_as_the_model_gives_it_comes_from_the_older_route(ollama, start):
    """``normalize`` false is what only that route can do."""
    ollama.play("POST", "/api/embeddings", [whole({"embedding": [3.0, 4.0]})])
    result = await start(ollama).embed(embedding("a", normalize=False))
    assert result.vectors == ((3.0, 4.0),)


@pytest.mark.parametrize("vectors", [[], [[]], [[1.0]], [[1.0], [1.0, 2.0]], [[1.0], ["x"]]])
async def test_wrong_vectors_are_an_error_of_the_backend(ollama, start, vectors):
    """One per input, of one width, of numbers."""
    ollama.play("POST", "/api/embed", [whole({"embeddings": vectors})])
    with pytest.raises(BackendError):
        await start(ollama).embed(embedding("a", "b"))


async def test_model_that_writes_text_gives_no_vectors(ollama, start):
    """It is said before anything is sent."""
    backend = start(ollama)
    await backend.models()
    with pytest.raises(UnsupportedError):
        await backend.embed(EmbeddingRequest(id="e", model="llama3.2:latest", inputs=("a",)))


async def test_figures_have_their_established_names(ollama, start):
    """Dashboards read them by these names."""
    ollama.play("POST", "/api/chat", streamed(*HELLO))
    backend = start(ollama)
    for _ in range(100):
        await answer(backend, ask())
    assert isinstance(backend, Reporting)
    assert isinstance(backend, Addressed)
    figures = backend.stats()
    assert set(figures) >= {
        *("total_connections", "active_connections", "idle_connections", "error_connections"),
        *("total_requests", "failed_requests", "success_rate", "average_response_time"),
        *("models_cached", "pool_hits", "pool_misses", "hit_rate"),
    }
    assert figures["hit_rate"] > 0.9
    assert figures["success_rate"] == 1.0
