from homeport_routers.groups import noted, parts_by, within_groups


def test_a_later_router_orders_only_within_groups(candidate, names):
    """What an earlier router told apart stays apart, whatever a later one prefers."""
    first = [candidate("b", group=0), candidate("a", group=0), candidate("c", group=1)]
    ranked = within_groups(first, lambda group: parts_by(group, lambda each: -ord(each.backend)))
    assert names(ranked) == ["b", "a", "c"]
    assert [each.group for each in ranked] == [0, 1, 2]


def test_equals_keep_their_order_and_their_group(candidate, names):
    """Candidates with one key are still equals for the next router."""
    ranked = within_groups([candidate("b"), candidate("a")], lambda group: parts_by(group, lambda _: 0.0))
    assert names(ranked) == ["b", "a"]
    assert {each.group for each in ranked} == {0}


def test_nothing_is_ranked_as_nothing():
    """No candidates stay no candidates."""
    assert within_groups([], lambda group: [group]) == ()


def test_notes_are_added(candidate):
    """A note does not hide the one before it."""
    assert noted(noted(candidate(), "one"), "two").note == "one; two"
