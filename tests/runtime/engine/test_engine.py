import itertools
import json
import shutil
import time

import attrs
import pytest

from homeport import (
    ChatPrompt,
    ContextOverflowError,
    EmbeddingRequest,
    Finished,
    FinishReason,
    GenerationError,
    GenerationRequest,
    InvalidRequestError,
    LoadPlan,
    Message,
    PromptAccepted,
    Role,
    Sampling,
    TextDelta,
    TextPrompt,
    TokenPrompt,
)
from homeport.engine.engine import Engine
from homeport.engine.options import EngineOptions
from homeport.engine.tokenizer import TextTokenizer
from homeport.testing.tiny_model import ChecksumConfig, ChecksumModel, checksum_answer

GREEDY = Sampling(temperature=0, max_tokens=12)
PLAN = LoadPlan(context_length=256, slots=3, threads=1)


@pytest.fixture
def make_engine(tiny_folder, tokenizer):
    """Build an engine around the checksum model."""

    def make(config=None, plan=PLAN, *, model=None, **options):
        model = model or ChecksumModel(config)
        facts = model.load(tiny_folder, plan)
        return Engine(model, facts, tokenizer, plan, options=EngineOptions(**options))

    return make


def ask(request_id, prompt, sampling=GREEDY, **more):
    if isinstance(prompt, str):
        prompt = TextPrompt(prompt)
    return GenerationRequest(id=request_id, model="tiny", prompt=prompt, sampling=sampling, **more)


def run(engine, *requests):
    """Submit all, step until idle, and give each request's events."""
    events = {request.id: [] for request in requests}
    told = [event for request in requests for event in engine.submit(request)]
    while engine.busy:
        told += engine.step()
    for event in told:
        events[event.request_id].append(event.event)
    return events


def text_of(events):
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_answer_depends_on_every_token_of_the_prompt_and_is_what_the_rule_says(make_engine):
    """A single greedy sequence gives exactly the model's continuation."""
    events = run(make_engine(), ask("a", "hello"))["a"]
    assert text_of(events) == checksum_answer("hello", 12)
    assert events[0] == PromptAccepted(5, truncated=False)
    assert events[-1].reason is FinishReason.LENGTH
    assert (events[-1].usage.prompt_tokens, events[-1].usage.completion_tokens) == (5, 12)
    assert events[-1].context[:5] == tuple(b"hello")


def test_more_sequences_than_slots_each_get_the_answer_they_would_get_alone(make_engine):
    """Batching and waiting for a slot change no answer."""
    prompts = {f"r{n}": "x" * (n + 1) for n in range(8)}
    events = run(make_engine(), *(ask(name, prompt) for name, prompt in prompts.items()))
    assert {name: text_of(told) for name, told in events.items()} == {
        name: checksum_answer(prompt, 12) for name, prompt in prompts.items()
    }


def test_running_sequences_share_every_step(make_engine):
    """Tokens of sequences that run together interleave one by one."""
    engine = make_engine()
    for request in (ask("a", "one"), ask("b", "two")):
        list(engine.submit(request))
    engine.step()
    order = [event.request_id for _ in range(4) for event in engine.step()]
    assert order == ["a", "b"] * 4


def test_long_prompt_is_computed_in_parts_while_others_go_on(make_engine):
    """A stream gets a token in every step in which another sequence's prompt is computed."""
    plan = LoadPlan(context_length=512, slots=2, threads=1)
    engine = make_engine(plan=plan)
    list(engine.submit(ask("short", "ab", Sampling(temperature=0, max_tokens=100))))
    engine.step()
    long_prompts = [ask(name, name * 100, Sampling(temperature=0, max_tokens=5)) for name in ("qwe",)]
    told = [event for request in long_prompts for event in engine.submit(request)]
    assert told[0].event.prompt_tokens == 300
    steps = [engine.step() for _ in range(3)]
    assert all("short" in {event.request_id for event in step} for step in steps)


def test_cancelled_sequence_frees_its_slot_for_the_next(make_engine):
    """After a cancel, a waiting sequence runs and the cancelled one says no more."""
    engine = make_engine(plan=attrs.evolve(PLAN, slots=1))
    for name in ("first", "second"):
        list(engine.submit(ask(name, name, Sampling(temperature=0, max_tokens=50))))
    assert {event.request_id for event in engine.step()} == {"first"}
    engine.cancel("first")
    assert {event.request_id for event in engine.step()} == {"second"}
    engine.cancel("never heard of")


def test_stop_text_ends_the_answer_and_is_not_part_of_it(make_engine):
    """A stop text is found across tokens and left out."""
    whole = checksum_answer("hello", 12)
    events = run(make_engine(), ask("a", "hello", attrs.evolve(GREEDY, stop=(whole[5:8],))))["a"]
    assert text_of(events) == whole[: whole.index(whole[5:8])]
    assert events[-1].reason is FinishReason.STOP


def test_window_ends_an_unbounded_answer(make_engine):
    """Without a bound a sequence grows to the window, not beyond."""
    plan = attrs.evolve(PLAN, context_length=40)
    events = run(make_engine(plan=plan), ask("a", "hello", Sampling(temperature=0)))["a"]
    assert len(events[-1].context) == 40
    assert events[-1].reason is FinishReason.LENGTH


def test_request_may_ask_for_a_smaller_window(make_engine):
    """``context_length`` of a request bounds it although the model was loaded with more."""
    events = run(make_engine(), ask("a", "hello", Sampling(temperature=0), context_length=20))["a"]
    assert len(events[-1].context) == 20


def test_zero_tokens_wanted_computes_nothing(make_engine):
    """``max_tokens`` 0 ends at once."""
    engine = make_engine()
    events = [event.event for event in engine.submit(ask("a", "hello", Sampling(max_tokens=0)))]
    assert isinstance(events[-1], Finished)
    assert not engine.busy


def test_prompt_over_the_window_is_refused_when_it_must_not_be_cut(make_engine):
    """``truncate`` False turns a long prompt into an error."""
    for length in (300, 300_000):
        (refused,) = make_engine().submit(ask("a", "x" * length, truncate=False))
        assert isinstance(refused.event, ContextOverflowError)
        assert "longer than the context length" in refused.event.message


def test_cut_chat_keeps_system_and_last_message(make_engine, tokenizer):
    """Cutting drops the oldest turns first."""
    turns = [Message(Role.SYSTEM, "be brief")]
    turns += [Message(Role.USER, f"old question {n} " + "y" * 40) for n in range(6)]
    turns += [Message(Role.USER, "the last question")]
    engine = make_engine()
    events = run(engine, ask("a", ChatPrompt(tuple(turns))))["a"]
    assert events[0].truncated
    prompt = tokenizer.decode(events[-1].context)
    assert prompt.startswith("system: be brief")
    assert "the last question" in prompt
    assert "old question 0" not in prompt


def test_token_outside_the_vocabulary_is_named(make_engine):
    """A foreign id is a bad request, not a crash of the model."""
    for strange in (257, -1):
        (refused,) = make_engine().submit(ask("a", TokenPrompt((strange,))))
        assert isinstance(refused.event, InvalidRequestError)
        assert f"token {strange} is outside" in refused.event.message


def test_failed_step_ends_its_sequences_and_the_engine_goes_on(make_engine):
    """An exception in forward reaches each client as an error; the next request works."""
    engine = make_engine(ChecksumConfig(fail_at_token=10))
    failed = run(engine, ask("a", "hello"), ask("b", "hi"))
    assert all(isinstance(events[-1], GenerationError) for events in failed.values())
    fine = run(engine, ask("c", "hi", Sampling(temperature=0, max_tokens=3)))["c"]
    assert text_of(fine) == checksum_answer("hi", 3)


def test_equal_seeds_give_equal_answers_in_any_company(make_engine):
    """A seeded sequence draws the same tokens alone and in a batch."""
    seeded = Sampling(temperature=3.0, top_k=0, top_p=1, seed=7, max_tokens=20)
    alone = text_of(run(make_engine(), ask("a", "hello", seeded))["a"])
    company = run(make_engine(), ask("b", "other"), ask("a", "hello", seeded), ask("c", "more"))
    assert text_of(company["a"]) == alone
    assert alone != text_of(run(make_engine(), ask("a", "hello", attrs.evolve(seeded, seed=8)))["a"])


def test_logprobs_come_one_per_token_and_best_first(make_engine):
    """Log-probabilities describe the raw distribution."""
    sampling = attrs.evolve(GREEDY, top_logprobs=2, max_tokens=4)
    events = run(make_engine(), ask("a", "hello", sampling))["a"]
    entries = list(itertools.chain.from_iterable(e.logprobs for e in events if isinstance(e, TextDelta)))
    assert "".join(entry.token for entry in entries) == text_of(events)
    assert all(entry.alternatives[0] == (entry.token, entry.logprob) for entry in entries)
    assert all(-0.02 < entry.logprob < 0 for entry in entries)


def embed(engine, *requests):
    """Run embedding requests to their end; results and errors by id."""
    told = [event for request in requests for event in engine.submit_embedding(request)]
    while engine.busy:
        told += engine.step()
    return {event.request_id: event.event for event in told}


def vectors_of(*inputs, name="e", **more):
    return EmbeddingRequest(id=name, model="tiny", inputs=inputs, **more)


def test_embeddings_are_normalised_and_cut_as_asked(make_engine):
    """``normalize`` and ``dimensions`` give unit vectors; without them the model's own come back."""
    engine = make_engine()
    cut = embed(engine, vectors_of("ab", "c", dimensions=2))["e"]
    assert [len(vector) for vector in cut.vectors] == [2, 2]
    assert all(sum(x * x for x in vector) == pytest.approx(1) for vector in cut.vectors)
    assert cut.prompt_tokens == 3
    assert embed(engine, vectors_of("ab", normalize=False))["e"].vectors == ((2.0, 195.0, 97.0, 98.0),)


def test_embedding_input_over_the_window_is_cut_or_refused(make_engine):
    """``truncate`` decides, for texts of any length and for ids."""
    engine = make_engine()
    for given in ("z" * 600, "z" * 600_000, (5,) * 600):
        refused = embed(engine, vectors_of(given, truncate=False))["e"]
        assert isinstance(refused, ContextOverflowError)
        assert embed(engine, vectors_of(given))["e"].prompt_tokens == 512


def test_strange_embedding_inputs_are_named(make_engine):
    """Foreign ids and empty inputs are bad requests."""
    engine = make_engine()
    for given, text in (((999,), "token 999 is outside"), ((), "no token to embed")):
        refused = embed(engine, vectors_of(given))["e"]
        assert isinstance(refused, InvalidRequestError)
        assert text in refused.message


def test_large_embedding_is_done_in_slices_while_others_go_on(make_engine):
    """A stream gets its tokens, and a short embedding its turn, while a long one is at work."""
    engine = make_engine()
    list(engine.submit(ask("stream", "ab", Sampling(temperature=0, max_tokens=50))))
    engine.submit_embedding(vectors_of(*["y" * 500] * 40, name="long"))
    engine.submit_embedding(vectors_of("x", name="short"))
    first = {event.request_id for _ in range(2) for event in engine.step()}
    assert first == {"stream", "short"}


def test_cancelled_embedding_computes_no_further(make_engine):
    """After its client left, the rest of an embedding is not computed."""
    engine = make_engine()
    engine.submit_embedding(vectors_of(*["y" * 500] * 40))
    engine.step()
    engine.cancel("e")
    assert not engine.busy


def test_only_the_row_that_fails_ends(make_engine):
    """Of a step that raises, every row but the culprit goes on as if nothing had been."""
    engine = make_engine(ChecksumConfig(fail_at_token=30))
    events = run(engine, ask("bad", "x" * 25), ask("good", "hi"))
    assert isinstance(events["bad"][-1], GenerationError)
    assert text_of(events["good"]) == checksum_answer("hi", 12)


def test_backend_that_gives_too_few_logits_is_named(make_engine):
    """A sequence that would never have its next token ends with an error, and nothing hangs."""

    class Silent(ChecksumModel):
        def forward(self, batch):
            return super().forward(batch)[:0]

    (*_, end) = run(make_engine(model=Silent()), ask("a", "hello"))["a"]
    assert isinstance(end, GenerationError)
    assert "gave 0 rows of logits, and 1 were wanted" in end.message


def test_template_that_raises_anything_ends_its_request_only(tiny_folder, tmp_path):
    """A template's recursion is an error of the request that rendered it."""
    folder = shutil.copytree(tiny_folder, tmp_path / "tiny")
    recursive = "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}"
    described = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**described, "chat_template": recursive}))
    model = ChecksumModel()
    engine = Engine(model, model.load(folder, PLAN), TextTokenizer(folder), PLAN)
    (failed,) = engine.submit(ask("a", ChatPrompt((Message(Role.USER, "hi"),))))
    assert isinstance(failed.event, GenerationError)
    assert text_of(run(engine, ask("b", "hi"))["b"]) == checksum_answer("hi", 12)


def test_conversation_of_thousands_of_turns_is_cut_by_few_renderings(make_engine, tokenizer):
    """Cutting tries as many lengths as its logarithm, not as its turns."""
    turns = tuple(Message(Role.USER, f"turn {n}") for n in range(4000))
    started = time.process_time()
    events = run(make_engine(), ask("a", ChatPrompt(turns)))["a"]
    assert events[0].truncated
    assert "turn 3999" in tokenizer.decode(events[-1].context)
    assert time.process_time() - started < 5  # one by one it took 15 s
