"""``POST /v1/rerank``."""

import math

import pytest

from homeport import (
    EmbeddingResult,
    Finished,
    FinishReason,
    PromptAccepted,
    TextDelta,
    TokenLogprob,
    Usage,
)

PATH = "/v1/rerank"
DOCUMENTS = ["east", {"text": "north"}, "west"]
VECTORS = {"query": (1.0, 0.0), "east": (1.0, 0.0), "north": (0.0, 1.0), "west": (-1.0, 0.0)}


def _body(**fields: object) -> dict[str, object]:
    return {"model": "vectors", "query": "query", "documents": DOCUMENTS} | fields


def _embed(request) -> EmbeddingResult:
    return EmbeddingResult(tuple(VECTORS[text] for text in request.inputs), prompt_tokens=7)


async def test_vectors_are_compared(served):
    """The score is (1 + cosine) / 2, the best document is first."""
    served.scripted.embedder = _embed
    documents = [DOCUMENTS[2], DOCUMENTS[1], DOCUMENTS[0]]
    status, answer = await served.json("POST", PATH, _body(documents=documents))
    assert status == 200
    assert answer == {
        "model": "vectors",
        "results": [
            {"index": 2, "relevance_score": 1.0},
            {"index": 1, "relevance_score": 0.5},
            {"index": 0, "relevance_score": 0.0},
        ],
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }


async def test_the_best_few_with_their_texts(served):
    """``top_n`` cuts the list, and documents are repeated only where that is asked for."""
    served.scripted.embedder = _embed
    _, answer = await served.json("POST", PATH, _body(top_n=1, return_documents=True))
    assert answer["results"] == [{"index": 0, "relevance_score": 1.0, "document": {"text": "east"}}]


async def test_a_model_that_writes_is_asked(served):
    """The score is how likely yes is; the query stands before what differs."""

    async def script(request):
        (message,) = request.prompt.messages
        yes = 0.9 if "north" in message.content else 0.2
        logprobs = (("Yes", math.log(yes)), ("No", math.log(1 - yes)))
        yield PromptAccepted(5)
        yield TextDelta("Yes", (TokenLogprob("Yes", logprobs[0][1], logprobs),))
        yield Finished(FinishReason.STOP, Usage(prompt_tokens=5, completion_tokens=1))

    served.scripted.script = script
    status, answer = await served.json("POST", PATH, _body(model="scripted:1b"))
    assert status == 200
    assert [each["index"] for each in answer["results"]] == [1, 0, 2]
    assert answer["results"][0]["relevance_score"] == pytest.approx(0.9)
    assert answer["usage"] == {"prompt_tokens": 15, "total_tokens": 15}
    texts = [asked.prompt.messages[0].content for asked in served.scripted.asked]
    assert len({text[: text.index("query?")] for text in texts}) == 1


async def test_a_model_that_cannot_judge(served):
    """501 where it reports no probabilities."""
    assert (await served.json("POST", PATH, _body(model="scripted:1b")))[0] == 501


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": ""}, "model is required"),
        ({"query": ""}, "query is required"),
        ({"documents": []}, "documents must hold at least one text"),
        ({"documents": ["a", ""]}, "documents must hold at least one text, and none that is empty"),
        ({"documents": [3]}, "invalid request: documents"),
        ({"documents": ["a"] * 2048}, "documents must hold at most 2047 texts, got 2048"),
        (
            {"model": "scripted:1b", "documents": ["a"] * 401},
            "documents must hold at most 400 texts, got 401",
        ),
        ({"top_n": 0}, "top_n must be between 1 and"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_bad_requests(served, fields, message):
    """Status 400 that names the field."""
    status, answer = await served.json("POST", PATH, _body(**fields))
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert message in answer["error"]["message"]
