"""What is told of tokens beside a text: scores of the prompt, labels, and what is added to logits."""

import attrs
import numpy as np
import pytest

from homeport import (
    Finished,
    GenerationRequest,
    InvalidRequestError,
    LoadPlan,
    PromptAccepted,
    PromptScored,
    Sampling,
    TextDelta,
    TextPrompt,
    TokenPrompt,
    UnsupportedError,
)
from homeport.engine.engine import Engine
from homeport.testing.tiny_model import END_TOKEN, ChecksumModel, checksum_answer

PLAN = LoadPlan(context_length=512, slots=4, threads=1)
GREEDY = Sampling(temperature=0, max_tokens=12)
FOX = "the quick brown fox jumps over the lazy dog " * 4


class Watched(ChecksumModel):
    """Tells apart all logits, and notes the rows that it computed."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, batch):
        self.batches.append(batch.rows)
        logits = super().forward(batch)
        return logits + np.linspace(0, 1, logits.shape[1], dtype=np.float32)


@pytest.fixture
def model():
    return Watched()


@pytest.fixture
def engine(model, tiny_folder, tokenizer):
    return Engine(model, model.load(tiny_folder, PLAN), tokenizer, PLAN)


def ask(request_id, prompt, sampling=GREEDY, **more):
    return GenerationRequest(
        id=request_id, model="tiny", prompt=TextPrompt(prompt), sampling=sampling, **more
    )


def run(engine, *requests):
    """Submit all, step until idle, and give each request's events."""
    events = {request.id: [] for request in requests}
    told = [event for request in requests for event in engine.submit(request)]
    while engine.busy:
        told += engine.step()
    for event in told:
        events[event.request_id].append(event.event)
    return events


def expected_scores(prompt):
    """Compute the log-probability of each byte of a text behind those before it."""
    tokens = list(prompt.encode())
    scores = [0.0]
    for end in range(1, len(tokens)):
        logits = np.linspace(0, 1, 257, dtype=np.float64)
        logits[ord(checksum_answer(prompt[:end], 1))] += 10
        scores.append(float(logits[tokens[end]] - np.log(np.exp(logits).sum())))
    return scores


@pytest.mark.parametrize("max_tokens", [0, 5])
@pytest.mark.parametrize("prompt", ["x", "hello", FOX], ids=["one", "five", "parts"])
def test_every_token_of_a_prompt_is_scored_before_the_answer(engine, prompt, max_tokens):
    """The scores are those of the logits before each token, however the prompt is divided, and come first."""
    sampling = attrs.evolve(GREEDY, prompt_logprobs=True, top_logprobs=2, max_tokens=max_tokens)
    accepted, scored, *rest = run(engine, ask("a", prompt, sampling))["a"]
    assert isinstance(accepted, PromptAccepted)
    assert isinstance(scored, PromptScored)
    assert "".join(entry.token for entry in scored.logprobs) == prompt
    assert [entry.logprob for entry in scored.logprobs] == pytest.approx(expected_scores(prompt), abs=1e-4)
    assert scored.logprobs[0].alternatives == ()
    for place, entry in enumerate(scored.logprobs[1:], 1):
        assert entry.alternatives[0][0] == checksum_answer(prompt[:place], 1)
        assert len(entry.alternatives) == 2
    text = "".join(event.text for event in rest if isinstance(event, TextDelta))
    assert text == checksum_answer(prompt, max_tokens)
    assert rest[-1].reason == "length"


def test_scoring_bounds_the_logits_of_a_step(engine, model):
    """Several prompts that are scored share the room of one, beside prompts that are not."""
    scored = attrs.evolve(GREEDY, prompt_logprobs=True, max_tokens=0)
    asked = [ask(f"{number}", f"{number}" + FOX, scored) for number in range(3)]
    events = run(engine, *asked, ask("plain", "p" + FOX))
    assert max(sum(row.logits for row in rows) for rows in model.batches) <= 65
    for request in asked:
        got = [entry.logprob for entry in events[request.id][1].logprobs]
        assert got == pytest.approx(expected_scores(request.prompt.text), abs=1e-4)


def test_known_beginning_is_computed_again_to_be_scored(engine):
    """What the cache remembers gives no scores, so it is not used; a later prompt still finds it."""
    run(engine, ask("first", FOX))
    scoring = attrs.evolve(GREEDY, prompt_logprobs=True)
    told = run(engine, ask("second", FOX, scoring))["second"]
    assert len(told[1].logprobs) == len(FOX)
    assert told[-1].usage.cached_tokens == 0
    assert run(engine, ask("third", FOX))["third"][-1].usage.cached_tokens > 0


def test_label_with_the_highest_logit_is_the_answer(engine, model):
    """One forward pass, one delta, no generated token; probabilities of the labels alone add up to 1."""
    prompt = "hello"
    said = checksum_answer(prompt, 1)
    labels = ("A", said, "B")
    accepted, delta, finished = run(engine, ask("a", prompt, Sampling(labels=labels, max_tokens=0)))["a"]
    assert isinstance(accepted, PromptAccepted)
    assert delta.text == said
    (label,) = delta.logprobs
    assert [text for text, _ in label.alternatives] == list(labels)
    assert sum(np.exp(logprob) for _, logprob in label.alternatives) == pytest.approx(1, abs=1e-6)
    assert dict(label.alternatives)[said] == label.logprob == pytest.approx(0, abs=1e-3)
    assert isinstance(finished, Finished)
    assert finished.reason == "stop"
    assert finished.usage.completion_tokens == 0
    assert len(model.batches) == 1


def test_questions_on_one_state_compute_it_once_and_agree_with_one_by_one(
    engine, model, tiny_folder, tokenizer
):
    """Requests that begin alike share what they begin with, and their answers are those of each alone."""
    sampling = Sampling(labels=("A", "B", "C"))
    questions = [ask(f"{number}", f"{FOX}question {number}?", sampling) for number in range(4)]
    together = run(engine, *questions)
    computed = sum(len(row.tokens) for rows in model.batches for row in rows)
    assert computed < 2 * len(FOX)
    for question in questions:
        fresh = Watched()
        alone = run(Engine(fresh, fresh.load(tiny_folder, PLAN), tokenizer, PLAN), question)[question.id]
        pairs = zip(
            alone[1].logprobs[0].alternatives, together[question.id][1].logprobs[0].alternatives, strict=True
        )
        for (label, expected), (same, logprob) in pairs:
            assert label == same
            assert logprob == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("labels", [("yes", "no"), ("A", "A"), ("",), ("A", "é")])
def test_labels_that_are_no_tokens_of_their_own_are_unsupported(engine, labels):
    """More than one token, none, or the same one twice cannot be told apart in one pass."""
    (error,) = run(engine, ask("a", "x", Sampling(labels=labels)))["a"]
    assert isinstance(error, UnsupportedError)
    assert error.field == "labels"


def test_bias_forces_and_bans_tokens(engine):
    """100 on a token makes it the answer, -100 on the likeliest keeps it out."""
    forced = attrs.evolve(GREEDY, logit_bias=((ord("z"), 100.0),))
    told = run(engine, ask("a", "hello", forced))["a"]
    assert "".join(event.text for event in told if isinstance(event, TextDelta)) == "z" * 12
    banned = attrs.evolve(GREEDY, logit_bias=tuple((byte, -100.0) for byte in b"aeiou "), max_tokens=100)
    told = run(engine, ask("b", "hello", banned))["b"]
    assert not set("aeiou ") & {char for event in told if isinstance(event, TextDelta) for char in event.text}


def test_bias_changes_no_log_probability_that_is_told(engine):
    """What is told are the model's own log-probabilities."""
    sampling = attrs.evolve(GREEDY, logit_bias=((ord("z"), 100.0),), top_logprobs=1, max_tokens=1)
    told = run(engine, ask("a", "hello", sampling))["a"]
    (entry,) = next(event.logprobs for event in told if isinstance(event, TextDelta))
    assert entry.token == "z"
    assert entry.alternatives[0][0] == checksum_answer("hello", 1)
    assert entry.logprob < -9


@pytest.mark.parametrize("pair", [(257, 1.0), (-1, 1.0), (65, float("nan")), (65, float("inf"))])
def test_bias_on_what_is_no_token_is_refused(engine, pair):
    """An id outside the vocabulary, or no finite number, is an error of the request."""
    (error,) = run(engine, ask("a", "x", attrs.evolve(GREEDY, logit_bias=(pair,))))["a"]
    assert isinstance(error, InvalidRequestError)
    assert error.field == "logit_bias"


def test_end_of_the_model_is_ignored_where_that_is_asked_for(engine):
    """The end token is chosen and the answer goes on to its bound."""
    ends = attrs.evolve(GREEDY, logit_bias=((END_TOKEN, 100.0),))
    assert run(engine, ask("a", "hello", ends))["a"][-1].reason == "stop"
    told = run(engine, ask("b", "hello", attrs.evolve(ends, ignores_end=True)))["b"]
    assert told[-1].reason == "length"
    assert told[-1].usage.completion_tokens == 12


def test_prompt_of_ids_is_scored_as_well(engine):
    """Ids of a client's own choice are scored like those of a text."""
    request = GenerationRequest(
        id="a",
        model="tiny",
        prompt=TokenPrompt(tuple(b"hello")),
        sampling=attrs.evolve(GREEDY, prompt_logprobs=True, max_tokens=0),
    )
    scored = run(engine, request)["a"][1]
    assert [entry.logprob for entry in scored.logprobs] == pytest.approx(expected_scores("hello"), abs=1e-4)
