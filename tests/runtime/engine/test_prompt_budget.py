import pytest

from homeport.engine.prompt_budget import LARGEST_CHUNK, SMALLEST_CHUNK, PromptBudget


class Machine:
    """Takes a fixed time for a step and for each prompt token."""

    def __init__(self, *, step_seconds, token_seconds):
        self.step_seconds = step_seconds
        self.token_seconds = token_seconds

    def run(self, budget, streams, *, prompts=True):
        """Run a step as large as the budget allows and give its time."""
        tokens = budget.tokens(streams) if prompts else 0
        seconds = self.step_seconds + tokens * self.token_seconds
        budget.observe(streams=streams, prompt_tokens=tokens, seconds=seconds)
        return seconds


@pytest.mark.parametrize("token_seconds", [0.0001, 0.001, 0.01])
def test_steps_with_streams_keep_the_bound_on_any_machine(token_seconds):
    """After the first, no step takes longer than allowed, nor is it much shorter."""
    machine, budget = Machine(step_seconds=0.1, token_seconds=token_seconds), PromptBudget(0.25)
    machine.run(budget, 4, prompts=False)
    machine.run(budget, 4)
    for _ in range(20):
        assert machine.run(budget, 4) <= max(0.251, 0.1 + SMALLEST_CHUNK * token_seconds)
    full = min(LARGEST_CHUNK, int(0.15 / token_seconds))
    assert budget.tokens(4) >= 0.9 * full


@pytest.mark.parametrize(("step_seconds", "most_seconds"), [(0.02, 0.06), (0.001, 0.03), (0.2, 0.25)])
def test_gaps_between_tokens_stay_even(step_seconds, most_seconds):
    """A step with prompts takes three plain ones at most, or what nobody notices, within the bound."""
    machine, budget = Machine(step_seconds=step_seconds, token_seconds=0.0001), PromptBudget(0.25)
    machine.run(budget, 4, prompts=False)
    machine.run(budget, 4)
    assert machine.run(budget, 4) == pytest.approx(most_seconds, rel=0.02)


def test_prompts_alone_take_large_chunks():
    """Where nobody's stream waits, a step may be as large as pays."""
    budget = PromptBudget(0.25)
    assert budget.tokens(0) == LARGEST_CHUNK
    Machine(step_seconds=0.03, token_seconds=0.001).run(budget, 0)
    assert budget.tokens(0) == LARGEST_CHUNK
    assert budget.tokens(1) < LARGEST_CHUNK


def test_slowest_machine_still_gets_on():
    """However slow, some tokens are computed."""
    budget = PromptBudget(0.25)
    machine = Machine(step_seconds=1, token_seconds=0.1)
    machine.run(budget, 1, prompts=False)
    for _ in range(5):
        machine.run(budget, 1)
    assert budget.tokens(1) == budget.tokens(0) == SMALLEST_CHUNK


def test_one_slow_step_is_soon_forgotten():
    """A machine that hesitates once goes on at its own pace."""
    machine, budget = Machine(step_seconds=0, token_seconds=0.001), PromptBudget(0.25)
    machine.run(budget, 1)
    usual = budget.tokens(1)
    budget.observe(streams=1, prompt_tokens=usual, seconds=60)
    assert budget.tokens(1) >= usual // 2 - 1
    for _ in range(10):
        machine.run(budget, 1)
    assert budget.tokens(1) >= 0.9 * usual
