"""Guessing changes how many steps an answer takes, and nothing else."""

import itertools

import attrs
import pytest

from homeport import GenerationRequest, LoadPlan, Sampling, TextDelta, TextPrompt
from homeport.engine.engine import Engine
from homeport.engine.options import EngineOptions
from homeport.testing.tiny_model import ChecksumModel

PLAN = LoadPlan(context_length=512, slots=8, threads=1)
PERIOD = 11
SURPRISE = 9
"""One token in about so many breaks the period."""
PROMPT = "abcdefghijk" * 3


class Copying(ChecksumModel):
    """Says again what it said a period ago, but for a surprise now and then, and counts its steps."""

    def __init__(self):
        super().__init__()
        self.steps = 0
        self.checked = 0

    def forward(self, batch):
        self.steps += 1
        self.checked += sum(max(row.logits - 1, 0) for row in batch.rows)
        return super().forward(batch)

    def _next_byte(self, sequence):
        byte = super()._next_byte(sequence)
        return byte if byte % SURPRISE == 0 else sequence[-PERIOD]


class Forgetful(Copying):
    """Costs as much to take back as to compute again."""

    def load(self, path, plan):
        return attrs.evolve(super().load(path, plan), rewinds=False)


@pytest.fixture
def answer(tiny_folder, tokenizer):
    """Let a model answer prompts: their texts, their ends and the model."""

    def answer(sampling, *prompts, model=None, plan=PLAN, speculates=True):
        model = model or Copying()
        facts = model.load(tiny_folder, plan)
        options = EngineOptions(speculates=speculates)
        steady = itertools.count().__next__  # every step takes as long, however many tokens it checks
        engine = Engine(model, facts, tokenizer, plan, options=options, clock=steady)
        texts, ends = dict.fromkeys(prompts, ""), {}
        for prompt in prompts:
            engine.submit(
                GenerationRequest(id=prompt, model="", prompt=TextPrompt(prompt), sampling=sampling)
            )
        while engine.busy:
            for event in engine.step():
                if isinstance(event.event, TextDelta):
                    texts[event.request_id] += event.event.text
                else:
                    ends[event.request_id] = event.event
        return texts, ends, model

    return answer


SAMPLINGS = {
    "greedy": Sampling(temperature=0, max_tokens=200),
    "seeded": Sampling(temperature=4.0, top_k=0, top_p=1, seed=5, max_tokens=200),
    "penalised": Sampling(temperature=0, repeat_penalty=1.3, repeat_last_n=7, max_tokens=200),
}


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
@pytest.mark.parametrize("prompts", [(PROMPT,), (PROMPT, PROMPT[3:], "xyz" * 9)], ids=["one", "three"])
def test_answers_are_those_without_guesses(answer, sampling, prompts):
    """With any sampling, alone or together, tokens and ends are equal."""
    guessed, ends, _ = answer(sampling, *prompts)
    plain, plain_ends, _ = answer(sampling, *prompts, speculates=False)
    assert guessed == plain
    for prompt in prompts:
        assert ends[prompt].context == plain_ends[prompt].context
        assert ends[prompt].reason == plain_ends[prompt].reason


def test_text_that_repeats_takes_fewer_steps(answer):
    """Right guesses save steps, and the usage tells how many were checked and right."""
    _, ends, model = answer(SAMPLINGS["greedy"], PROMPT)
    usage = ends[PROMPT].usage
    assert usage.completion_tokens == 200
    assert usage.accepted_tokens + model.steps == 200
    assert usage.drafted_tokens == model.checked
    assert usage.accepted_tokens > usage.drafted_tokens / 4
    assert model.steps < 140


def test_stop_within_a_guess_ends_the_answer_there(answer):
    """Nothing of a guess is said behind a stop text, whichever place of the guess it ends in."""
    plain = answer(SAMPLINGS["greedy"], PROMPT, speculates=False)[0][PROMPT]
    for end in range(60, 80):
        sampling = attrs.evolve(SAMPLINGS["greedy"], stop=(plain[end - 5 : end],))
        guessed, ends, _ = answer(sampling, PROMPT)
        assert guessed == answer(sampling, PROMPT, speculates=False)[0]
        assert ends[PROMPT].reason == "stop"


@pytest.mark.parametrize("tokens", [1, 2, 3, 50])
def test_bounds_are_kept_to_the_token(answer, tokens):
    """Neither the number of tokens nor the window is exceeded by a guess."""
    sampling = Sampling(temperature=0, max_tokens=tokens)
    assert answer(sampling, PROMPT)[1][PROMPT].usage.completion_tokens == tokens
    tight = attrs.evolve(PLAN, context_length=len(PROMPT) + tokens)
    _, ends, _ = answer(Sampling(temperature=0), PROMPT, plan=tight)
    assert len(ends[PROMPT].context) == len(PROMPT) + tokens


def test_model_that_cannot_go_back_guesses_nothing(answer):
    """A wrong guess would cost it the whole sequence."""
    _, ends, model = answer(SAMPLINGS["greedy"], PROMPT, model=Forgetful())
    assert model.checked == 0
    assert ends[PROMPT].usage.drafted_tokens == 0


def test_many_streams_guess_nothing(answer):
    """With more than four, a wrong guess of one costs all of them."""
    prompts = tuple(PROMPT[n:] for n in range(6))
    _, _, model = answer(Sampling(temperature=0, max_tokens=50), *prompts)
    assert model.checked == 0
