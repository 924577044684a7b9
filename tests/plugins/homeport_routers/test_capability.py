import pytest

from homeport_routers.capability import Level, is_same_model, levels, parameters


@pytest.mark.parametrize(
    ("name", "facts", "expected"),
    [
        ("m", {"parameter_count": 5}, 5),
        ("llama3:8b", {}, 8e9),
        ("smollm2:135m", {}, 135e6),
        ("phi:2.7b-chat", {}, 2.7e9),
        ("gpt-4o", {}, 0),
        ("big", {"size_bytes": 9_000_000}, 16e6),
        ("9b9", {}, 0),
    ],
)
def test_sizes_are_known_or_guessed(candidate, name, facts, expected):
    """The number of weights comes from the model, from its name, from its bytes, or is unknown."""
    assert parameters(candidate(model=name, **facts).model) == pytest.approx(expected)


def test_tiers_decide_where_all_have_one(candidate):
    """The tier that a candidate was found in says more than its size."""
    found = [candidate(tier="power", model="a:1b"), candidate(tier="fast", model="b:70b")]
    assert levels(found) == [Level.POWER, Level.FAST]


def test_sizes_decide_among_models_without_tier(candidate):
    """They count as for tiers; a remote model of unknown size is remote."""
    found = [
        candidate(model="a:135m"),
        candidate(model="b:2b"),
        candidate(model="c:8b"),
        candidate(model="d:70b"),
        candidate(model="e", is_remote=True),
        candidate(model="f"),
    ]
    expected = [Level.FAST, Level.FAST, Level.BALANCED, Level.POWER, Level.REMOTE, Level.BALANCED]
    assert levels(found) == expected


def test_models_of_one_class_are_told_apart_by_size(candidate):
    """Who has only small models still has a smallest and a largest."""
    found = [candidate(model=f"{name}:{size}m") for name, size in (("a", 500), ("b", 135), ("c", 1700))]
    assert levels(found) == [Level.BALANCED, Level.FAST, Level.POWER]
    assert levels(found[:1]) == [Level.FAST]


def test_a_model_is_known_by_name_or_digest(candidate):
    """Backends of one model may name it differently, or hold it in another form."""
    assert is_same_model(candidate(model="a", digest="1"), candidate(model="A", digest="2"))
    assert is_same_model(candidate(model="a", digest="1"), candidate(model="b", digest="1"))
    assert not is_same_model(candidate(model="a", digest=""), candidate(model="b", digest=""))
