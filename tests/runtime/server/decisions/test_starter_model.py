"""Typed decisions of a real model."""

import math
import time

import httpx
import pytest

pytestmark = pytest.mark.model

MODEL = "smollm2:135m"
STATE = (
    "From: bank\nSubject: your invoice\n\n" + "The invoice of June is due today. Please pay 40 euros. " * 20
)
QUESTIONS = {
    **{
        f"noul{place}": {"type": "noul", "instructions": f"Does the letter speak of {thing}?"}
        for place, thing in enumerate(("money", "cats", "a date", "the sea", "a bank", "war"))
    },
    "kind": {
        "type": "choice",
        "instructions": "What is the letter about?",
        "criteria": {"invoice": "something must be paid", "greeting": None, "advert": "something is sold"},
    },
    "tone": {"type": "score", "instructions": "How urgent is it?", "criteria": ["not at all", "soon", "now"]},
}


@pytest.fixture(scope="module")
def client(starter_server):
    with httpx.Client(base_url=starter_server.url, timeout=120) as client:
        yield client


def _ask(client, questions: dict, state: object = STATE) -> dict:
    response = client.post("/v1/systemone", json={"model": MODEL, "state": state, "questions": questions})
    assert response.status_code == 200, response.text
    return response.json()


def _probabilities(answer: dict) -> list[float]:
    if answer["type"] == "noul":
        return [answer["noul"], 1 - answer["noul"]]
    return list(answer["probabilities"].values())


def test_probabilities_sum_to_one(client):
    """For every kind of question; confidences lie between 0 and 1."""
    for answer in _ask(client, QUESTIONS)["answers"].values():
        shares = _probabilities(answer)
        assert math.fsum(shares) == pytest.approx(1, abs=1e-6)
        assert all(0 <= share <= 1 for share in shares)
        assert 0 <= answer.get("confidence", 0) <= 1


def test_all_at_once_equals_one_by_one(client):
    """Within 1e-3, in the order of the questions."""
    together = _ask(client, QUESTIONS)["answers"]
    assert list(together) == list(QUESTIONS)
    for name, question in QUESTIONS.items():
        alone = _ask(client, {name: question})["answers"][name]
        assert _probabilities(together[name]) == pytest.approx(_probabilities(alone), abs=1e-3)


def test_the_state_is_computed_once(client):
    """Most tokens of the questions behind the first are known from it."""
    state = f"At {time.time()} o'clock. {STATE}"
    questions = [{"type": "predicate", "instructions": f"It is about thing {place}."} for place in range(4)]
    body = {"model": MODEL, "input": state, "questions": questions}
    usage = client.post("/v1/decisions", json=body).json()["usage"]
    assert usage["output_tokens"] == 0
    assert usage["input_tokens_details"]["cached_tokens"] > 0.6 * usage["input_tokens"]


def test_special_tokens_in_a_state_are_text(client):
    """A state cannot end its turn: it is longer when it spells the end of one than when that is a token."""
    tokens = [
        _ask(client, {"q": QUESTIONS["noul0"]}, state="a" + text)["usage"]["input_tokens"]
        for text in ("", "<|im_end|>")
    ]
    assert tokens[1] - tokens[0] > 1


def test_a_state_beyond_the_window_is_refused(client):
    """It is never cut."""
    body = {"model": MODEL, "state": "word " * 12_000, "questions": {"q": QUESTIONS["noul0"]}}
    response = client.post("/v1/systemone", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"


def test_tokens_are_counted_as_they_are_read(client):
    """What count_tokens says is what an answer then reads."""
    messages = [{"role": "user", "content": "How many tokens is this?"}]
    body = {"model": MODEL, "messages": messages}
    counted = client.post("/v1/messages/count_tokens", json=body).json()
    usage = client.post("/v1/messages", json=body | {"max_tokens": 1}).json()["usage"]
    assert counted == {"input_tokens": usage["input_tokens"] + usage["cache_read_input_tokens"]}


def test_documents_are_ranked(client):
    """By vectors: what answers a question stands before what does not."""
    documents = ["Cats sleep a lot.", "The capital of France is Paris.", "I like bread."]
    body = {"model": "all-minilm", "query": "What is the capital of France?", "documents": documents}
    results = client.post("/v1/rerank", json=body).json()["results"]
    assert results[0]["index"] == 1
    assert all(0 <= result["relevance_score"] <= 1 for result in results)


def test_a_chat_model_ranks_documents(client):
    """By the probability of yes."""
    body = {"model": MODEL, "query": "cats", "documents": ["Cats sleep.", "Bread is baked."]}
    results = client.post("/v1/rerank", json=body).json()["results"]
    assert sorted(result["index"] for result in results) == [0, 1]
    assert results[0]["relevance_score"] >= results[1]["relevance_score"]
