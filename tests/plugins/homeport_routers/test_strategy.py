import pytest

from homeport import Strategy
from homeport_routers.config import StrategyConfig, Weights
from homeport_routers.strategy import DEFAULT_WEIGHTS, StrategyRouter


@pytest.fixture
def router():
    return StrategyRouter(StrategyConfig())


@pytest.fixture
def three(candidate):
    """Small and quick, large and slow, remote and quicker than that."""
    return [
        candidate("large", "l:70b", latency_seconds=9.0),
        candidate("small", "s:1b", latency_seconds=0.3),
        candidate("remote", "r", latency_seconds=0.4, is_remote=True),
    ]


@pytest.mark.parametrize(
    ("strategy", "first"),
    [
        (Strategy.SPEED, "small"),
        (Strategy.QUALITY, "remote"),
        (Strategy.COST, "small"),
        (Strategy.LOCAL_FIRST, "small"),
    ],
)
def test_a_strategy_puts_first_what_counts_for_it(router, ask, three, strategy, first):
    """Each strategy has its winner."""
    assert router.rank(ask(strategy=strategy), three)[0].backend == first


def test_remote_comes_last_for_cost_and_locality(router, ask, three, names):
    """A slow local model costs less than a quick remote one."""
    for strategy in (Strategy.COST, Strategy.LOCAL_FIRST):
        assert names(router.rank(ask(strategy=strategy), three))[-1] == "remote"


def test_failing_backends_fall_back(router, ask, candidate, names):
    """Success counts for every strategy."""
    found = [candidate("bad", "a:1b", success_rate=0.1), candidate("good", "b:1b")]
    for strategy in Strategy:
        assert names(router.rank(ask(strategy=strategy), found)) == ["good", "bad"]


def test_criteria_are_shares_and_shown(router, ask, three):
    """The trace tells score and criteria, each from 0 to 1."""
    for each in router.rank(ask(), three):
        assert each.note.startswith("balanced 0.")
        figures = [float(part.split()[-1]) for part in each.note.split("(")[1].rstrip(")").split(", ")]
        assert len(figures) == 5
        assert all(0 <= figure <= 1 for figure in figures)


def test_hardly_different_scores_stay_equal(router, ask, candidate):
    """A router behind this one may share requests among twins."""
    ranked = router.rank(ask(), [candidate("x", latency_seconds=1.0), candidate("y", latency_seconds=1.1)])
    assert {each.group for each in ranked} == {0}


def test_weights_can_be_set(ask, three, names):
    """A table of the operator's own replaces that of a strategy."""
    router = StrategyRouter(StrategyConfig(weights={"speed": Weights(quality=1.0)}))
    assert names(router.rank(ask(strategy=Strategy.SPEED), three))[0] == "remote"


def test_every_strategy_has_weights_that_add_up():
    """The shipped weights are shares of 1."""
    for strategy in Strategy:
        weights = DEFAULT_WEIGHTS[strategy]
        total = weights.availability + weights.success + weights.latency + weights.quality + weights.cost
        assert total == pytest.approx(1.0)


def test_nobody_is_ranked_as_nobody(router, ask):
    """No candidates, no order."""
    assert list(router.rank(ask(), [])) == []
