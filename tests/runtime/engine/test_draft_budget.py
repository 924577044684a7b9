import pytest

from homeport.engine.draft_budget import DraftBudget


@pytest.fixture
def budget():
    """A budget that knows what a step takes without guesses: 30 ms."""
    budget = DraftBudget()
    budget.observe(drafted=0, seconds=0.03)
    return budget


def test_few_streams_guess_and_many_do_not(budget):
    """The fewer streams, the longer their guesses; from five on there are none."""
    assert [budget.tokens(streams) for streams in range(6)] == [0, 15, 7, 4, 3, 0]


def test_nothing_is_guessed_before_a_step_was_measured():
    """Without knowing what a step costs nobody knows what a guess saves."""
    assert DraftBudget().tokens(1) == 0


def test_guesses_that_cost_more_than_they_save_stop_but_for_a_probe(budget):
    """On a machine that takes as long for two tokens as for two steps, one step in 65 tries again."""
    for _ in range(20):
        budget.observe(drafted=4, seconds=0.15)
    tried = []
    for _ in range(130):
        tried.append(budget.tokens(1) > 0)
        budget.observe(drafted=4 * tried[-1], seconds=0.15 if tried[-1] else 0.03)
    assert sum(tried) == 2
    for _ in range(20):
        budget.observe(drafted=4, seconds=0.032)
    assert budget.tokens(1) == 15


def test_probe_waits_for_a_guess(budget):
    """Where no stream can guess when a probe is due, it is made as soon as one can."""
    for _ in range(20):
        budget.observe(drafted=4, seconds=0.15)
    for _ in range(64):
        assert not budget.tokens(1)
        budget.observe(drafted=0, seconds=0.03)
    for _ in range(10):
        assert budget.tokens(1)
        budget.observe(drafted=0, seconds=0.03)
    budget.observe(drafted=4, seconds=0.15)
    assert not budget.tokens(1)


def test_one_slow_step_does_not_stop_guesses(budget):
    """A machine that hesitates once tells nothing of what guesses cost."""
    budget.observe(drafted=4, seconds=5)
    assert budget.tokens(1) == 15


def test_cost_of_a_guess_counts_against_all_streams(budget):
    """What pays for one stream may not pay for four, whose other rows gain nothing by it."""
    for _ in range(20):
        budget.observe(drafted=5, seconds=0.03 + 5 * 0.005)
    assert budget.tokens(1)
    assert not budget.tokens(4)
