import pytest

from homeport_routers.complexity import Complexity
from homeport_routers.config import ComplexityConfig

SIMPLE = "What is the capital of France?"
COMPLEX = (
    "Design a replication protocol and prove that it never loses an acknowledged write. Compare it with two "
    "alternatives, justify each assumption, analyse the trade-offs under partitions, and derive the expected "
    "latency if one of three nodes fails. If the constraints contradict each other, explain why."
)


@pytest.fixture
def router():
    return Complexity(ComplexityConfig())


@pytest.fixture
def three(candidate):
    """A model of each local tier, the middle one first."""
    return [
        candidate("b", "b:8b", tier="balanced"),
        candidate("a", "a:1b", tier="fast"),
        candidate("c", "c:70b", tier="power"),
    ]


def test_simple_questions_go_to_small_models(router, ask, three, names):
    """A question of fact needs no large model."""
    ranked = router.rank(ask(SIMPLE), three)
    assert names(ranked) == ["a", "b", "c"]
    assert "is simple (general-chat" in ranked[0].note


def test_complex_questions_go_to_large_models(router, ask, three, names):
    """A proof with conditions wants the largest."""
    ranked = router.rank(ask(COMPLEX), three)
    assert names(ranked)[0] == "c"
    assert "is complex (" in ranked[0].note
    assert "reasoning" in ranked[0].note


def test_sizes_stand_in_for_tiers(router, ask, candidate, names):
    """For ``auto`` and routes, where no tier was named, the sizes at hand decide."""
    found = [candidate("large", "m:70b"), candidate("small", "n:1b")]
    assert names(router.rank(ask(SIMPLE), found)) == ["small", "large"]
    assert names(router.rank(ask(COMPLEX), found)) == ["large", "small"]


def test_one_model_is_left_alone(router, ask, candidate, names):
    """Backends of one model are not told apart, and its text is not even read."""
    found = [candidate("x", "m:1b", is_remote=True), candidate("y", "m:1b")]
    ranked = router.rank(ask(COMPLEX), found)
    assert names(ranked) == ["x", "y"]
    assert not any(each.note for each in ranked)
    assert list(router.rank(ask(COMPLEX), [])) == []


def test_models_of_one_tier_stay_equal(router, ask, candidate, names):
    """What a preference does not tell apart is left to the next router."""
    found = [candidate("x", "m:7b", tier="fast"), candidate("y", "n:1b", tier="fast")]
    ranked = router.rank(ask(COMPLEX), found)
    assert names(ranked) == ["x", "y"]
    assert {each.group for each in ranked} == {0}


def test_thresholds_and_preferences_are_settings(ask, three, names):
    """With both thresholds at 0 everything is complex."""
    config = ComplexityConfig(standard_from=0.0, complex_from=0.0, complex=("fast",))
    ranked = Complexity(config).rank(ask(SIMPLE), three)
    assert names(ranked) == ["a", "b", "c"]
    assert [each.group for each in ranked] == [0, 1, 1]


def test_an_unknown_tier_comes_last_by_size(ask, candidate, names):
    """Tiers of an operator's own are no class; sizes decide then."""
    found = [candidate("x", "m:70b", tier="house"), candidate("y", "n:1b", tier="fast")]
    assert names(Complexity(ComplexityConfig()).rank(ask(SIMPLE), found)) == ["y", "x"]
