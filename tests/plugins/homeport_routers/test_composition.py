from collections import Counter

import pytest

from homeport.gateway.routing.ranking import Routing
from homeport_routers.affinity import Affinity
from homeport_routers.complexity import Complexity
from homeport_routers.config import ComplexityConfig, LoadConfig, RuleConfig, RulesConfig
from homeport_routers.load import Load
from homeport_routers.rules import Rules

SIMPLE = "What is the capital of France?"


@pytest.fixture
def routing():
    """The routers of the how-to, in its order."""
    rules = {
        "secrets": RuleConfig(words=("confidential",), only=("local",)),
        "release": RuleConfig(tags=("release",), critical=True),
    }
    return Routing(
        [
            ("rules", Rules(RulesConfig(rule=rules))),
            ("complexity", Complexity(ComplexityConfig())),
            ("affinity", Affinity()),
            ("load", Load(LoadConfig(among="group"))),
        ]
    )


@pytest.fixture
def five(candidate):
    """Two small local models, two large ones, and a remote one."""
    return [
        candidate("large1", "l:70b", tier="power"),
        candidate("large2", "l:70b", tier="power", in_flight=1),
        candidate("small1", "s:1b", tier="fast"),
        candidate("small2", "t:1b", tier="fast"),
        candidate("remote", "r", tier="remote", is_remote=True),
    ]


def test_load_shares_what_complexity_left_equal(routing, ask, five):
    """Simple requests are shared by the small models, and the others stay behind them."""
    first = Counter()
    for number in range(400):
        ranking = routing.rank(ask(SIMPLE, number=number), five)
        first[ranking.candidates[0].backend] += 1
        assert {each.backend for each in ranking.candidates[:2]} == {"small1", "small2"}
    assert min(first["small1"], first["small2"]) > 150


def test_a_critical_request_is_not_moved_by_its_simplicity(routing, ask, five):
    """What a rule decided holds against every later router."""
    ranking = routing.rank(ask(SIMPLE, tags=("release",)), five)
    assert ranking.candidates[0].backend == "remote"
    assert ranking.reason == "rules"


def test_a_secret_leaves_no_remote_candidate(routing, ask, five):
    """Not even as a last resort."""
    ranking = routing.rank(ask(f"confidential: {SIMPLE}"), five)
    assert all(not each.model.is_remote for each in ranking.candidates)
    assert [refusal.backend for refusal in ranking.refusals] == ["remote"]


def test_each_router_tells_why(routing, ask, five):
    """The trace has a step for each, with a note on each candidate."""
    steps = {step.name: step for step in routing.rank(ask(SIMPLE), five).steps}
    assert list(steps) == ["rules", "complexity", "affinity", "load"]
    assert all("complexity" in each.note for each in steps["complexity"].order)
    assert steps["load"].order[0].note.startswith("load costs")


def test_a_broken_artefact_does_not_stop_a_request(ask, five):
    """A router that fails is passed over, and the trace names the failure."""

    class Broken(Complexity):
        def rank(self, request, candidates):
            return super().rank(request, [*candidates, None])

    ranking = Routing([("complexity", Broken(ComplexityConfig()))]).rank(ask(SIMPLE), five)
    assert len(ranking.candidates) == len(five)
    assert ranking.steps[0].failure
