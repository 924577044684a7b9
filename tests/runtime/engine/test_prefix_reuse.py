"""What sequences share through the cache changes the time that answers take, and nothing else."""

import itertools
import random

import attrs
import pytest

from homeport import (
    ContextOverflowError,
    Finished,
    GenerationRequest,
    LoadPlan,
    Priority,
    Sampling,
    TextDelta,
    TextPrompt,
)
from homeport.engine.engine import Engine
from homeport.engine.options import EngineOptions
from homeport.testing.tiny_model import ChecksumModel, checksum_answer

BYTES_PER_TOKEN = 8
"""What the checksum model says that a token costs."""
PLAN = LoadPlan(context_length=256, slots=8, threads=1)
LARGE = 1024**3
SYSTEM = "You are one of many agents that share these instructions. " * 2


class Conversation:
    """An engine, and what its clients were told."""

    def __init__(self, engine):
        self.engine = engine
        self.texts = {}
        self.ends = {}

    def submit(self, name, prompt, tokens=12, **more):
        sampling = Sampling(temperature=0, max_tokens=tokens)
        self.texts[name] = ""
        self.hear(
            self.engine.submit(
                GenerationRequest(id=name, model="tiny", prompt=TextPrompt(prompt), sampling=sampling, **more)
            )
        )

    def hear(self, events):
        for event in events:
            if isinstance(event.event, TextDelta):
                self.texts[event.request_id] += event.event.text
            else:
                self.ends[event.request_id] = event.event

    def step(self):
        self.hear(self.engine.step())

    def run(self):
        while self.engine.busy:
            self.step()

    def ask(self, prompt, tokens=12, **more):
        """Ask alone; how many tokens of the prompt were known."""
        name = f"ask {len(self.texts)}"
        self.submit(name, prompt, tokens, **more)
        self.run()
        assert self.texts[name] == checksum_answer(prompt, tokens)
        return self.ends[name].usage.cached_tokens


@pytest.fixture
def talk(tiny_folder, tokenizer):
    """Start a conversation with a fresh engine."""

    def start(plan=PLAN, model=None, clock=None, **options):
        model = model or ChecksumModel()
        facts = model.load(tiny_folder, plan)
        more = {} if clock is None else {"clock": clock}
        return Conversation(Engine(model, facts, tokenizer, plan, options=EngineOptions(**options), **more))

    return start


def test_known_beginning_is_not_computed_again(talk):
    """The second prompt counts what the first left, and all of its tokens as before."""
    clients = talk()
    assert clients.ask(SYSTEM + "first") == 0
    assert clients.ask(SYSTEM + "second") == len(SYSTEM)
    assert clients.ends["ask 1"].usage.prompt_tokens == len(SYSTEM + "second")


def test_answer_is_known_when_a_conversation_goes_on(talk):
    """The next turn computes what is new in it, and the one token that was said last."""
    clients = talk()
    clients.ask(SYSTEM)
    turn = SYSTEM + checksum_answer(SYSTEM, 12) + "and then?"
    assert clients.ask(turn) == len(SYSTEM) + 11


def test_cancelled_request_leaves_what_it_computed(talk):
    """A client that left in the middle of an answer has not computed its prompt in vain."""
    clients = talk()
    clients.submit("gone", SYSTEM)
    clients.step()
    clients.engine.cancel("gone")
    assert clients.ask(SYSTEM) == len(SYSTEM) - 1


def test_nothing_is_shared_between_owners(talk):
    """Neither what ended nor what runs under one key is known under another, or under none."""
    clients = talk()
    assert clients.ask(SYSTEM, owner="a") == 0
    clients.submit("running", SYSTEM, owner="a", tokens=40)
    clients.step()
    assert clients.ask(SYSTEM, owner="b") == 0
    assert clients.ask(SYSTEM) == 0
    assert clients.ask(SYSTEM, owner="a") == len(SYSTEM) - 1


def test_requests_that_come_together_compute_their_beginning_once(talk):
    """A herd waits for its first."""
    clients = talk()
    for name in "abcd":
        clients.submit(name, SYSTEM + name)
    clients.run()
    known = sorted(clients.ends[name].usage.cached_tokens for name in "abcd")
    assert known == [0, *[len(SYSTEM)] * 3]
    assert clients.texts == {name: checksum_answer(SYSTEM + name, 12) for name in "abcd"}


def test_setting_turns_it_off(talk):
    """Then every prompt is computed whole and nothing is kept."""
    clients = talk(remembers=False)
    assert [clients.ask(SYSTEM) for _ in range(2)] == [0, 0]
    assert clients.engine.cached_tokens == 0


def test_model_that_cannot_go_back_shares_nothing(talk):
    """Where copying costs as much as computing, nothing is copied."""

    class Recurrent(ChecksumModel):
        def load(self, path, plan):
            return attrs.evolve(super().load(path, plan), rewinds=False)

    clients = talk(model=Recurrent())
    assert [clients.ask(SYSTEM) for _ in range(2)] == [0, 0]


def test_failed_row_leaves_nothing_to_share(talk):
    """What a slot holds after an error is not trusted."""

    class Failing(ChecksumModel):
        fails = True

        def forward(self, batch):
            logits = super().forward(batch)
            if self.fails:
                raise ArithmeticError("no")
            return logits

    model = Failing()
    clients = talk(model=model)
    clients.submit("bad", SYSTEM)
    clients.run()
    model.fails = False
    assert clients.ask(SYSTEM) == 0


def test_one_slot_serves_one_after_the_other_and_keeps_the_last(talk):
    """With a single place everything works, and the newest sequence is remembered."""
    clients = talk(attrs.evolve(PLAN, slots=1))
    for name in "abc":
        clients.submit(name, SYSTEM + name)
    clients.run()
    assert clients.texts == {name: checksum_answer(SYSTEM + name, 12) for name in "abc"}
    assert clients.ask(SYSTEM + "c") == len(SYSTEM)


def test_prompt_larger_than_all_memory_is_refused_with_figures(talk):
    """The error names the prompt's tokens, those that fit, and the setting to raise."""
    clients = talk(attrs.evolve(PLAN, cache_bytes=64 * BYTES_PER_TOKEN))
    clients.submit("large", "x" * 64)
    refused = clients.ends["large"]
    assert isinstance(refused, ContextOverflowError)
    assert "has 64 tokens" in refused.message
    assert "holds 64 tokens of 8 bytes" in refused.message
    assert "cache_memory" in refused.hint
    clients.ask("x" * 63, tokens=1)


def test_answer_ends_where_all_memory_is_full(talk):
    """A sequence that fills the memory alone ends as at the end of a window."""
    clients = talk(attrs.evolve(PLAN, cache_bytes=64 * BYTES_PER_TOKEN))
    clients.submit("long", "hello", tokens=200)
    clients.run()
    assert clients.texts["long"] == checksum_answer("hello", 59)


def test_bound_of_no_byte_is_a_bound(talk):
    """Where no memory is left for the cache, no prompt fits; None sets no bound."""
    clients = talk(attrs.evolve(PLAN, cache_bytes=0))
    clients.submit("any", "x")
    assert "holds 0 tokens" in clients.ends["any"].message
    clients = talk(attrs.evolve(PLAN, cache_bytes=None))
    clients.ask("x" * 200, tokens=56)


def test_share_of_memory_holds_one_window_at_least(talk):
    """Where the bound is a share of what is free, a whole conversation fits on the smallest machine."""
    clients = talk(attrs.evolve(PLAN, cache_bytes=1), fits_one_window=True)
    clients.ask("x" * 200, tokens=56)


def test_sequences_swapped_out_give_the_same_answers(talk):
    """Memory for two of eight sequences changes when answers come, not what they are."""
    clients = talk(attrs.evolve(PLAN, cache_bytes=448 * BYTES_PER_TOKEN))
    prompts = {name: name * 60 for name in "abcdefgh"}
    for name, prompt in prompts.items():
        clients.submit(name, prompt, tokens=150)
    clients.run()
    assert clients.texts == {name: checksum_answer(prompt, 150) for name, prompt in prompts.items()}


def test_urgent_request_does_not_wait_for_a_long_answer(talk):
    """It takes the only place, and the one that gave way ends as if nothing had been."""
    clients = talk(most_running=1)
    clients.submit("patient", SYSTEM, tokens=100, priority=Priority.LOW)
    for _ in range(20):
        clients.step()
    clients.submit("urgent", "now", priority=Priority.HIGH)
    while "urgent" not in clients.ends or not isinstance(clients.ends["urgent"], Finished):
        clients.step()
    assert len(clients.texts["patient"]) < 30
    clients.run()
    assert clients.texts["patient"] == checksum_answer(SYSTEM, 100)


def test_memory_pressure_shrinks_the_cache_until_it_is_over(talk):
    """What is remembered goes when the machine has little left; requests are served all the same."""
    clients = talk()
    clients.ask(SYSTEM)
    clients.engine.fit_memory(0)
    assert clients.engine.cached_tokens >= len(SYSTEM)
    clients.engine.fit_memory(-BYTES_PER_TOKEN)
    assert clients.engine.cached_tokens == 0
    clients.engine.fit_memory(-LARGE)
    assert clients.ask(SYSTEM) == 0
    clients.engine.fit_memory(LARGE)
    clients.ask(SYSTEM)
    assert clients.ask(SYSTEM) == len(SYSTEM) - 1


def test_thousands_of_tiny_requests_stay_within_the_bound(talk):
    """Memory is as full after thousands as the bound says, and every answer is right."""
    plan = attrs.evolve(PLAN, cache_bytes=1024 * BYTES_PER_TOKEN)
    clients = talk(plan)
    prompts = {str(number): f"{number} " * 8 for number in range(2000)}
    for name, prompt in prompts.items():
        clients.submit(name, prompt, tokens=2)
        if clients.engine.busy and int(name) % 4 == 0:
            clients.step()
        assert clients.engine.cached_tokens <= 1024
    clients.run()
    assert clients.texts == {name: checksum_answer(prompt, 2) for name, prompt in prompts.items()}


@pytest.mark.parametrize("seed", range(12))
def test_any_mixture_of_requests_gets_the_answers_of_each_alone(talk, seed):
    """Owners, priorities, cancels, shared beginnings, guesses and scarce memory change no answer."""
    chance = random.Random(seed)
    clients = talk(
        attrs.evolve(
            PLAN,
            slots=chance.choice([1, 2, 5, 40]),
            cache_bytes=chance.choice([None, 2048, 2560, 4096, 24_000]),
        ),
        clock=itertools.count().__next__,
        most_running=chance.choice([0, 1, 4]),
        remembers=chance.random() < 0.8,
        speculates=chance.random() < 0.7,
    )
    beginnings = ["".join(chance.choices("ab", k=150)) for _ in range(3)]
    asked, cancelled = {}, set()
    while len(asked) < 40 or clients.engine.busy:
        if len(asked) < 40 and chance.random() < 0.5:
            prompt = chance.choice(beginnings)[: chance.randrange(150)] + "".join(chance.choices("ab", k=20))
            name, tokens = str(len(asked)), chance.randrange(1, 60)
            asked[name] = prompt, tokens
            priority, owner = chance.choice(list(Priority)), chance.choice(["", "a", "b"])
            clients.submit(name, prompt, tokens, priority=priority, owner=owner)
        if asked and chance.random() < 0.05:
            name = chance.choice(list(asked))
            cancelled.add(name)
            clients.engine.cancel(name)
        clients.step()
    for name, (prompt, tokens) in asked.items():
        expected = checksum_answer(prompt, tokens)
        if isinstance(clients.ends[name], Finished):
            assert clients.texts[name] == expected
        else:
            assert name in cancelled
            assert expected.startswith(clients.texts[name])
