from collections import Counter

import attrs
import pytest

from homeport_routers.config import LoadConfig
from homeport_routers.load import Load

PICKS = 10_000


@pytest.fixture
def router():
    return Load(LoadConfig())


def picks(router, ask, candidates):
    """Count who comes first in many requests."""
    return Counter(router.rank(ask(number=number), candidates)[0].backend for number in range(PICKS))


@pytest.mark.parametrize("members", [2, 3, 5])
def test_equal_members_share_equally(router, ask, candidate, members):
    """Of 10,000 picks each member's share is within 5 % of an equal one."""
    found = picks(router, ask, [candidate(f"m{place}") for place in range(members)])
    for count in found.values():
        assert count == pytest.approx(PICKS / members, rel=0.05)


def test_weights_hold_between_idle_members(router, ask, candidate):
    """Three times the weight is three times the requests."""
    found = picks(router, ask, [candidate("x", "a", weight=0.75), candidate("y", "b", weight=0.25)])
    assert found["x"] == pytest.approx(0.75 * PICKS, rel=0.05)


def test_weights_hold_under_load(router, ask, candidate):
    """Members that are given requests and never finish them fill in proportion to their weights."""
    members = [candidate("x", weight=3.0, slots=10), candidate("y", weight=1.0, slots=10)]
    counts = Counter()
    for number in range(2000):
        standing = [
            attrs.evolve(each, standing=attrs.evolve(each.standing, in_flight=counts[each.backend]))
            for each in members
        ]
        counts[router.rank(ask(number=number), standing)[0].backend] += 1
    assert counts["x"] == pytest.approx(1500, rel=0.05)


@pytest.mark.parametrize(
    "worse",
    [
        {"latency_seconds": 2.0},
        {"in_flight": 3},
        {"waiting": 3},
        {"in_flight": 3, "slots": 2},
        {"success_rate": 0.3},
    ],
)
def test_the_worse_of_two_gets_less(router, ask, candidate, worse):
    """It is taken only where both draws give it: a quarter of the time."""
    found = picks(
        router,
        ask,
        [candidate("good", latency_seconds=1.0), candidate("bad", **({"latency_seconds": 1.0} | worse))],
    )
    assert found["bad"] == pytest.approx(PICKS / 4, rel=0.1)


def test_a_new_member_is_neither_flooded_nor_starved(router, ask, candidate):
    """Who has no latency yet is thought to be as fast as the others."""
    found = picks(router, ask, [candidate("old", latency_seconds=7.0), candidate("new")])
    assert found["new"] == pytest.approx(PICKS / 2, rel=0.05)


def test_equal_arguments_give_an_equal_order(router, ask, candidate, names):
    """A decision can be replayed from its seed, whatever the request is called."""
    found = [candidate(name) for name in "abcdef"]
    first = names(router.rank(ask(number=1, seed=7), found))
    assert names(router.rank(ask(number=2, seed=7), found)) == first
    assert sorted(first) == list("abcdef")


def test_different_models_do_not_change_places(router, ask, candidate, names):
    """Without weights, a route's or a tier's first model stays first."""
    found = [candidate("x", "a:1b", in_flight=9), candidate("y", "b:1b")]
    assert {tuple(names(router.rank(ask(number=number), found))) for number in range(50)} == {("x", "y")}


def test_all_of_a_group_share_where_that_is_wanted(ask, candidate):
    """``among = "group"`` makes models of one tier share, but not what an earlier router told apart."""
    router = Load(LoadConfig(among="group"))
    found = picks(router, ask, [candidate("x", "a"), candidate("y", "b"), candidate("z", "c", group=1)])
    assert found["x"] == pytest.approx(PICKS / 2, rel=0.05)
    assert found["z"] == 0


def test_members_without_weight_come_last(router, ask, candidate, names):
    """A weight of 0 takes a member out without forgetting it."""
    found = [candidate("x", weight=0.0), candidate("y", weight=1.0, in_flight=50), candidate("z", weight=1.0)]
    assert {names(router.rank(ask(number=number), found))[-1] for number in range(200)} == {"x"}


def test_nobody_and_one_are_left_alone(router, ask, candidate, names):
    """There is nothing to share."""
    assert list(router.rank(ask(), [])) == []
    assert names(router.rank(ask(), [candidate("x")])) == ["x"]
