import asyncio
import json
import math
import time
from datetime import UTC, datetime

import pytest

from homeport import (
    BackendError,
    BackendRefusedError,
    Capability,
    ChatPrompt,
    ContextOverflowError,
    EmbeddingRequest,
    Finished,
    FinishReason,
    GenerationError,
    GenerationRequest,
    InvalidRequestError,
    Message,
    ModelNotFoundError,
    OverloadedError,
    Priority,
    Role,
    Sampling,
    Terms,
    TextDelta,
    TextPrompt,
    TokenLogprob,
    UnsupportedError,
)
from homeport.testing.raw_server import Move, chunk, head, whole
from homeport_remote import answers

CHAT = "/v1/chat/completions"
PIECES = (
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "Hel"}}], "usage": None},
    {"choices": [{"index": 0, "delta": {"content": "lö"}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]},
)
USAGE = {
    "choices": [],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
}
DONE = b"data: [DONE]\n\n"


def data(value, end=b"\n"):
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + end + end


def stream(*parts):
    return [head(content_type="text/event-stream"), *(chunk(part) for part in parts), chunk(b"")]


SAID = stream(*(data(piece) for piece in (*PIECES, USAGE)), DONE)


def ask(model="gpt-4o:latest", **fields):
    prompt = fields.pop("prompt", None) or ChatPrompt((Message(Role.USER, "Hi"),))
    return GenerationRequest(id="r", model=model, prompt=prompt, **fields)


async def answer(backend, request=None):
    async with backend.generate(request or ask()) as events:
        return [event async for event in events]


def told(events):
    usage = events[-1].usage
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return text, events[-1].reason, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens


WHOLE = ("Hellö", FinishReason.LENGTH, 9, 4, 2)


async def test_models_are_listed_with_tags_and_by_what_their_names_say(other, start):
    """Such a server tells neither capabilities nor digests; both stay the same."""
    backend = await start(other)
    chat, vectors = await backend.models()
    assert (chat.name, chat.backend, chat.capabilities) == (
        "gpt-4o:latest",
        "remote-lab",
        {Capability.COMPLETION, Capability.TOOLS},
    )
    assert chat.modified_at == datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
    assert (vectors.name, vectors.capabilities) == ("text-embed-3:latest", {Capability.EMBEDDING})
    assert chat.digest != vectors.digest


async def test_only_wanted_models_are_listed_under_our_names(other, start):
    """A name there need not be a name here; what the server has not is left out."""
    wanted = {"house/smart": "gpt-4o", "gone": "gpt-3"}
    backend = await start(other, models=wanted)
    assert [model.name for model in await backend.models()] == ["house/smart:latest"]
    other.play("POST", CHAT, SAID)
    await answer(backend, ask("House/Smart:latest"))
    assert other.asked[-1].body["model"] == "gpt-4o"
    with pytest.raises(ModelNotFoundError):
        await answer(backend, ask("gpt-4o:latest"))


async def test_server_without_a_list_serves_the_models_that_are_named(raw, start):
    """Some servers have no such route, and answer all the same."""
    raw.play("GET", "/v1/models", [whole({"detail": "Not Found"}, 404)])
    backend = await start(raw, models={"m": "there"}, embeds=("there",))
    (model,) = await backend.models()
    assert (model.name, model.capabilities) == ("m:latest", {Capability.EMBEDDING})


async def test_request_is_spelt_as_any_server_takes_it(other, start):
    """Names that only some servers know are left out; the count of hops and the key go along."""
    other.play("POST", CHAT, SAID)
    sampling = Sampling(temperature=0.5, seed=7, stop=("x",), max_tokens=9, top_logprobs=2)
    request = ask(sampling=sampling, keep_alive_seconds=5.0, owner="someone", terms=Terms(hops=2))
    await answer(await start(other), request)
    sent = other.asked[-1]
    assert sent.headers["x-homeport-hops"] == "3"
    assert sent.body == {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 9,
        "seed": 7,
        "stop": ["x"],
        "logprobs": True,
        "top_logprobs": 2,
    }


async def test_text_prompt_goes_on_behind_what_was_begun(other, start):
    """Text goes to the route for text."""
    said = {"choices": [{"index": 0, "text": " three", "finish_reason": "stop"}]}
    other.play("POST", "/v1/completions", stream(data(said), DONE))
    events = await answer(await start(other), ask(prompt=TextPrompt("one"), begun=" two"))
    assert told(events)[:2] == (" three", FinishReason.STOP)
    assert other.asked[-1].body["prompt"] == "one two"


@pytest.mark.parametrize(
    "request_",
    [
        ask(begun="Once"),
        ask(sampling=Sampling(max_tokens=0)),
        ask(prompt=ChatPrompt((Message(Role.USER, "a"),), context=(1,))),
    ],
)
async def test_what_no_server_takes_is_refused_before_it_is_sent(other, start, request_):
    """Nothing is silently dropped."""
    backend = await start(other)
    before = len(other.asked)
    with pytest.raises(InvalidRequestError):
        await answer(backend, request_)
    assert len(other.asked) == before


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
async def test_answer_is_the_same_wherever_it_is_split(other, start, end):
    """Pieces, comments, other fields and any line end make no difference."""
    parts = [b": ping" + end + end, b"event: x" + end, *(data(each, end) for each in (*PIECES, USAGE))]
    said = b"".join(parts) + b"data:[DONE]" + end + end
    step = 7 if end == b"\n" else 29
    cuts = range(1, len(said), step)
    scripts = [stream(said[:place], said[place:]) for place in cuts]
    other.play("POST", CHAT, *scripts)
    backend = await start(other)
    for _ in scripts:
        assert told(await answer(backend)) == WHOLE
    assert backend.stats()["hit_rate"] > 0.9


async def test_answer_may_end_without_its_mark_but_not_without_its_reason(other, start):
    """Some servers leave ``[DONE]`` out; one that ends before the reason to end has broken off."""
    backend = await start(other)
    other.play("POST", CHAT, stream(*(data(piece) for piece in PIECES)))
    events = await answer(backend)
    assert isinstance(events[-1], Finished)
    assert events[-1].usage.prompt_tokens >= 1
    assert events[-1].usage.completion_tokens == 2
    for ending in ([chunk(b"")], [Move.CLOSE], [Move.RESET]):
        other.play("POST", CHAT, [*stream(*(data(piece) for piece in PIECES[:3]))[:-1], *ending])
        with pytest.raises(BackendError):
            await answer(backend)


@pytest.mark.parametrize("ending", [[Move.CLOSE], [Move.RESET]])
async def test_connection_that_breaks_after_the_reason_is_a_cut(other, start, ending):
    """Only a proper end of the answer makes up for a missing mark."""
    other.play("POST", CHAT, [*stream(*(data(piece) for piece in PIECES))[:-1], *ending])
    with pytest.raises(BackendError):
        await answer(await start(other))


@pytest.mark.parametrize(
    "said", [b"nonsense", b"[]", b'{"choices":3}', b'{"choices":[{"delta":"x"}]}', b"\xff"]
)
async def test_nonsense_in_a_stream_is_an_error_of_the_backend(other, start, said):
    """Events of another form do not surprise us."""
    other.play("POST", CHAT, stream(b"data: " + said + b"\n\n"))
    with pytest.raises(BackendError, match="nonsense"):
        await answer(await start(other))


async def test_event_of_endless_empty_lines_is_an_error_and_holds_nobody(other, start, monkeypatch):
    """60,000 empty lines of data took half a minute when their sizes were summed up anew at each."""
    monkeypatch.setattr(answers, "MOST_LINE_BYTES", 100_000)
    other.play("POST", CHAT, [*stream(b"data:\n" * 60_000)])
    backend = await start(other)
    began = time.process_time()
    with pytest.raises(BackendError, match="an event of more than 100000 bytes"):
        await answer(backend)
    assert time.process_time() - began < 2


async def test_answer_that_is_not_counted_is_guessed_by_its_bytes(other, start):
    """A server that packs a whole answer into one piece and tells no usage is not taken for one token."""
    packed = {"choices": [{"delta": {"content": "word " * 400}, "finish_reason": "stop"}]}
    other.play("POST", CHAT, stream(data(packed), DONE))
    events = await answer(await start(other))
    assert events[-1].usage.completion_tokens == 500


async def test_error_within_a_stream_is_told_by_how_far_it_came(other, start):
    """Before any text another try may do; afterwards the generation has failed."""
    backend = await start(other)
    failure = data({"error": {"message": "out of memory", "type": "api_error"}})
    other.play("POST", CHAT, stream(failure))
    with pytest.raises(BackendError):
        await answer(backend)
    other.play("POST", CHAT, stream(data(PIECES[1]), failure))
    with pytest.raises(GenerationError):
        await answer(backend)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (whole({"error": {"message": "model gone", "code": "model_not_found"}}, 404), ModelNotFoundError),
        (whole({"error": {"code": "context_length_exceeded"}}, 400), ContextOverflowError),
        (whole({"error": {"code": "insufficient_quota"}}, 429), BackendRefusedError),
        (whole({"error": {"code": "rate_limit_exceeded"}}, 429, Retry_After="7"), OverloadedError),
        (whole({}, 401), BackendRefusedError),
        (whole({}, 500), BackendError),
    ],
)
async def test_refusals_are_typed(other, start, said, kind):
    """Retry, fallback and breaker depend on the class."""
    other.play("POST", CHAT, [said])
    with pytest.raises(kind) as caught:
        await answer(await start(other))
    assert type(caught.value) is kind


async def test_leaving_an_answer_stops_the_other_side(other, start):
    """The connection is closed."""
    other.play("POST", CHAT, [*stream(data(PIECES[1]))[:-1], Move.HANG])
    async with (await start(other)).generate(ask()) as events:
        assert await anext(events) == TextDelta("Hel")
    async with asyncio.timeout(5):
        await other.left.wait()


async def test_log_probabilities_are_read_in_both_forms(other, start):
    """Chats and completions spell them differently."""
    backend = await start(other)
    entry = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -2.0}]}
    piece = {
        "choices": [{"delta": {"content": "a"}, "logprobs": {"content": [entry]}, "finish_reason": "stop"}]
    }
    other.play("POST", CHAT, stream(data(piece), DONE))
    chat = await answer(backend, ask(sampling=Sampling(top_logprobs=1)))
    assert chat[0].logprobs == (TokenLogprob("a", -0.1, (("b", -2.0),)),)
    spelt = {"tokens": ["a"], "token_logprobs": [-0.1], "top_logprobs": [{"b": -2.0}], "text_offset": [0]}
    piece = {"choices": [{"text": "a", "logprobs": spelt, "finish_reason": "stop"}]}
    other.play("POST", "/v1/completions", stream(data(piece), DONE))
    text = await answer(backend, ask(prompt=TextPrompt("x"), sampling=Sampling(top_logprobs=1)))
    assert text[0].logprobs == chat[0].logprobs


async def test_vectors_are_put_in_order_and_finished(other, start):
    """Whatever order and length the server gives them."""
    rows = [{"index": 1, "embedding": [0.0, 2.0, 5.0]}, {"index": 0, "embedding": [3.0, 4.0, 5.0]}]
    other.play("POST", "/v1/embeddings", [whole({"data": rows, "usage": {"prompt_tokens": 7}})])
    request = EmbeddingRequest(id="e", model="text-embed-3:latest", inputs=("a", "b"), dimensions=2)
    result = await (await start(other)).embed(request)
    assert result.vectors == ((0.6, 0.8), (0.0, 1.0))
    assert result.prompt_tokens == 7
    assert other.asked[-1].body["dimensions"] == 2


async def test_model_that_writes_text_gives_no_vectors(other, start):
    """It is said before anything is sent."""
    with pytest.raises(UnsupportedError):
        await (await start(other)).embed(EmbeddingRequest(id="e", model="gpt-4o:latest", inputs=("a",)))


async def test_server_that_is_away_is_an_error_of_the_backend(start, raw):
    """Not an unknown model: it may be back in a moment."""
    raw.play("GET", "/v1/models", [Move.RESET])
    backend = await start(raw)
    with pytest.raises(BackendError, match="is away"):
        await answer(backend)


REPLICA = {
    "object": "replica",
    "version": "0.1.0",
    "free_bytes": 5,
    "running": 1,
    "waiting": 2,
    "models": [
        {
            "name": "own:1b",
            "digest": "ab" * 32,
            "capabilities": ["completion"],
            "modified_at": "2026-05-04T14:56:49+00:00",
            "context_length": 2048,
            "resident": True,
            "slots": 32,
        },
        {"name": "far:1b", "digest": "cd" * 32, "capabilities": ["completion"], "is_remote": True},
        {"name": "passed:1b", "digest": "ef" * 32, "capabilities": ["completion"], "hops": 2},
        {"name": "ghost:1b", "digest": "ef" * 32, "capabilities": ["completion"], "hops": 3},
    ],
}


async def test_replica_tells_its_models_memory_and_load(raw, start):
    """What it has from elsewhere is left out, so that two homeports do not offer each other's back."""
    raw.play("GET", "/v1/replica", [whole(REPLICA)])
    backend = await start(raw, kind="homeport")
    (model,) = await backend.models()
    assert (model.name, model.digest, model.slots, model.context_length) == ("own:1b", "ab" * 32, 32, 2048)
    figures = backend.stats()
    assert figures["replica_free_bytes"] == 5
    assert (figures["replica_running"], figures["replica_waiting"]) == (1, 2)


async def test_replica_that_stops_is_not_asked_any_more(raw, start):
    """It says so before it turns requests away."""
    raw.play("GET", "/v1/replica", [whole(REPLICA | {"draining": True})])
    assert await (await start(raw, kind="homeport")).models() == ()


async def test_replica_offers_what_it_has_from_elsewhere_where_it_is_named(raw, start):
    """A chain of homeports is possible, on purpose."""
    raw.play("GET", "/v1/replica", [whole(REPLICA)])
    wanted = {name: name for name in ("far:1b", "passed:1b", "ghost:1b")}
    far, passed = await (await start(raw, kind="homeport", models=wanted)).models()
    assert (far.name, far.is_remote) == ("far:1b", True)
    assert (passed.name, passed.facts["homeport.hops"]) == ("passed:1b", 3)


async def test_another_homeport_is_told_urgency_and_deadline_but_not_who_asks(raw, start):
    """It understands all options; the highest class is for its own admins."""
    raw.play("GET", "/v1/replica", [whole(REPLICA)])
    raw.play("POST", CHAT, SAID)
    request = ask(
        "own:1b",
        priority=Priority.CRITICAL,
        owner="key-digest",
        keep_alive_seconds=math.inf,
        context_length=512,
        truncate=False,
        terms=Terms(deadline_seconds=9.0, agent="secret-agent", task="summary"),
    )
    await answer(await start(raw, kind="homeport"), request)
    body = raw.asked[-1].body
    assert body["homeport"] == {"priority": "high", "deadline_seconds": 9.0, "task": "summary"}
    assert (body["keep_alive"], body["num_ctx"], body["truncation"]) == (-1, 512, "disabled")
    assert (body["top_k"], body["min_p"], body["repeat_penalty"]) == (40, 0.0, 1.0)
    assert "secret-agent" not in json.dumps(body)


async def test_another_homeport_on_this_machine_is_told_that_nothing_may_leave_it(raw, start):
    """It may have remote models of its own, to which it would fall back."""
    raw.play("GET", "/v1/replica", [whole(REPLICA)])
    raw.play("POST", CHAT, SAID)
    await answer(await start(raw, kind="homeport"), ask("own:1b", terms=Terms(local_only=True)))
    assert raw.asked[-1].body["homeport"] == {"priority": "normal", "local_only": True}
