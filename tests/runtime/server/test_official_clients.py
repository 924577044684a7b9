"""The unmodified official clients against a real listener."""

import ollama
import openai
import pytest

from homeport import ContextOverflowError, GenerationError, PromptAccepted

HI = [{"role": "user", "content": "one two three"}]


@pytest.fixture
async def ollama_client(served):
    async with ollama.AsyncClient(host=served.url) as client:
        yield client


@pytest.fixture
async def openai_client(served):
    async with openai.AsyncOpenAI(
        base_url=f"{served.url}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture
async def loose_client(served):
    """Where OpenAI's own types contradict its API, as for streamed completions and base64."""
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def test_ollama_lists_and_shows(ollama_client):
    """Rows, dates and details parse."""
    listed = await ollama_client.list()
    assert listed.models[0].model == "scripted:1b"
    assert listed.models[0].modified_at.year == 2026
    shown = await ollama_client.show("scripted:1b")
    assert shown.modelinfo["llama.context_length"] == 2048
    assert shown.capabilities == ["completion"]
    assert (await ollama_client.ps()).models == []


async def test_ollama_generates(ollama_client):
    """Whole and streamed; the pieces add up to the whole."""
    whole = await ollama_client.generate("echo", "one two three")
    assert (whole.response, whole.done_reason, whole.eval_count) == ("one two three", "stop", 3)
    pieces = [piece async for piece in await ollama_client.generate("echo", "one two three", stream=True)]
    assert "".join(piece.response for piece in pieces) == whole.response
    assert pieces[-1].done
    limited = await ollama_client.generate("echo", "one two three", options={"num_predict": 1})
    assert (limited.response, limited.done_reason) == ("one", "length")


async def test_ollama_chats(ollama_client):
    """Whole and streamed, with its own options class."""
    options = ollama.Options(temperature=0, seed=1)
    whole = await ollama_client.chat("echo", HI, options=options, keep_alive="5m")
    assert whole.message.content == "one two three"
    stream = await ollama_client.chat("echo", HI, stream=True)
    assert "".join([piece.message.content async for piece in stream]) == "one two three"


async def test_ollama_embeds(ollama_client):
    """Both routes."""
    many = await ollama_client.embed("vectors", ["a", "b"])
    assert list(map(list, many.embeddings)) == [[0.6, 0.8], [0.6, 0.8]]
    assert list((await ollama_client.embeddings("vectors", "a")).embedding) == [0.6, 0.8]


async def test_ollama_pulls_and_deletes(ollama_client, settings, install):
    """Progress parses, and deleting reports success."""
    install(settings, "tiny")
    assert (await ollama_client.pull("tiny")).status == "success"
    lines = [line.status async for line in await ollama_client.pull("tiny", stream=True)]
    assert (lines[0], lines[-1]) == ("pulling manifest", "success")
    assert (await ollama_client.delete("tiny")).status == "success"


@pytest.mark.parametrize("stream", [True, False])
async def test_ollama_raises_typed_errors(ollama_client, stream):
    """Status and text arrive in its ResponseError."""
    with pytest.raises(ollama.ResponseError, match="model 'nope' not found") as caught:
        answer = await ollama_client.chat("nope", HI, stream=stream)
        [piece async for piece in answer]
    assert caught.value.status_code == 404


async def test_ollama_raises_for_an_error_within_a_stream(ollama_client):
    """The pieces before it arrive, then it raises."""
    stream = await ollama_client.generate("echo", "one !fail", stream=True)
    assert (await anext(stream)).response == "one"
    with pytest.raises(ollama.ResponseError, match="while running the model"):
        await anext(stream)


async def test_openai_lists_models(openai_client):
    """The list and one of its members, with a slash in its id."""
    models = (await openai_client.models.list()).data
    assert [model.id for model in models] == ["scripted:1b", "vectors:latest", "echo:latest", "acme/tiny:q8"]
    assert (await openai_client.models.retrieve("acme/tiny:q8")).owned_by == "acme"


async def test_openai_chats(openai_client):
    """Whole, with several choices and log-probabilities asked for."""
    answer = await openai_client.chat.completions.create(
        model="echo", messages=HI, n=2, logprobs=True, top_logprobs=2, seed=1, stop=["x"]
    )
    assert [choice.message.content for choice in answer.choices] == ["one two three"] * 2
    assert answer.usage.total_tokens == 9
    assert answer._request_id


async def test_openai_streams(openai_client):
    """Pieces add up, one role, one reason, usage last."""
    stream = await openai_client.chat.completions.create(
        model="echo", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two three"
    assert [chunk.choices[0].delta.role for chunk in chunks if chunk.choices[0].delta.role] == ["assistant"]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.usage.completion_tokens == 3


async def test_openai_accumulates_streams(openai_client):
    """The client's own accumulator ends with a whole answer."""
    async with openai_client.chat.completions.stream(model="echo", messages=HI) as stream:
        answer = await stream.get_final_completion()
    assert answer.choices[0].message.content == "one two three"


async def test_openai_completes(openai_client, loose_client):
    """Whole in strict mode; streams have no reason yet, which its strict types do not know."""
    answer = await openai_client.completions.create(model="echo", prompt=["a b", "c"])
    assert [choice.text for choice in answer.choices] == ["a b", "c"]
    stream = await loose_client.completions.create(model="echo", prompt="a b", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == "a b"


async def test_openai_embeds(openai_client, loose_client):
    """Floats in strict mode, and base64, its default, which it decodes itself."""
    answer = await openai_client.embeddings.create(model="vectors", input=["a"], encoding_format="float")
    assert answer.data[0].embedding == [0.6, 0.8]
    answer = await loose_client.embeddings.create(model="vectors", input="a")
    assert answer.data[0].embedding == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize("stream", [True, False])
async def test_openai_raises_typed_errors(served, openai_client, stream):
    """Each failure is the class that the client has for it, with code and param."""
    create = openai_client.chat.completions.create
    with pytest.raises(openai.NotFoundError) as missing:
        await create(model="nope", messages=HI, stream=stream)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as wrong:
        await create(model="echo", messages=HI, temperature=9, stream=stream)
    assert wrong.value.param == "temperature"

    async def overflow(_):
        yield PromptAccepted(1)
        raise ContextOverflowError("too long")

    async def fail(_):
        raise GenerationError("x")
        yield

    served.scripted.script = overflow
    with pytest.raises(openai.BadRequestError) as long:
        await create(model="scripted:1b", messages=HI, stream=stream)
    assert long.value.code == "context_length_exceeded"
    served.scripted.script = fail
    with pytest.raises(openai.InternalServerError):
        await create(model="scripted:1b", messages=HI, stream=stream)


async def test_openai_raises_for_an_error_within_a_stream(openai_client):
    """The pieces before it arrive, then it raises."""
    messages = [{"role": "user", "content": "one !fail"}]
    stream = await openai_client.chat.completions.create(model="echo", messages=messages, stream=True)
    pieces = [(await anext(stream)).choices[0].delta.content for _ in range(2)]
    assert pieces == ["", "one"]
    with pytest.raises(openai.APIError, match="while running the model"):
        await anext(stream)
