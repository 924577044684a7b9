import pytest

from homeport_routers.affinity import Affinity


def test_a_conversation_stays_where_it_was(ask, candidate, names):
    """Who served it before comes first, and says so."""
    ranked = Affinity().rank(
        ask(), [candidate("x"), candidate("y", served_before=True, slots=4, in_flight=3)]
    )
    assert names(ranked) == ["y", "x"]
    assert ranked[0].note == "served this conversation"


@pytest.mark.parametrize(
    "load", [{"in_flight": 1}, {"waiting": 1}, {"in_flight": 4, "slots": 4}, {"slots": 0, "in_flight": 1}]
)
def test_a_full_backend_is_not_waited_for(ask, candidate, names, load):
    """Reading a prompt again takes less time than waiting for a place."""
    ranked = Affinity().rank(ask(), [candidate("x"), candidate("y", served_before=True, **load)])
    assert names(ranked) == ["x", "y"]


def test_affinity_does_not_undo_an_earlier_router(ask, candidate, names):
    """A conversation moves where a rule wants it."""
    ranked = Affinity().rank(ask(), [candidate("x", group=0), candidate("y", group=1, served_before=True)])
    assert names(ranked) == ["x", "y"]
