"""Whether and how much a model shall think."""

from datetime import UTC, datetime

import pytest

from homeport.domain.errors import InvalidRequestError, UnsupportedError
from homeport.domain.models import Capability, ModelInfo
from homeport.server.thinking import Thinking, read_effort, read_think


def _model(*capabilities: Capability) -> ModelInfo:
    return ModelInfo(
        name="m:1",
        digest="0" * 64,
        backend="b",
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
        capabilities=frozenset({Capability.COMPLETION, *capabilities}),
    )


THINKER = _model(Capability.THINKING)
PLAIN = _model()


@pytest.mark.parametrize(
    ("value", "thinking"),
    [
        (None, Thinking()),
        (True, Thinking(thinks=True)),
        (False, Thinking(thinks=False)),
        ("low", Thinking(thinks=True, effort="low")),
        ("max", Thinking(thinks=True, effort="max")),
    ],
)
def test_think_is_a_switch_or_a_level(value, thinking):
    """Nothing leaves it to the model."""
    assert read_think(value, THINKER, "x") == thinking


@pytest.mark.parametrize("value", ["x", "", 1, 0, [], {}, "true"])
def test_other_values_of_think_are_refused(value):
    """Whatever the model can do."""
    for model in (THINKER, PLAIN):
        with pytest.raises(InvalidRequestError, match=r"invalid think value: .* \(must be"):
            read_think(value, model, "x")


def test_only_thinkers_can_be_told_to_think():
    """Not to think is what the others do anyway."""
    assert read_think(value=False, model=PLAIN, name="x").thinks is False
    for value in (True, "high"):
        with pytest.raises(UnsupportedError, match='"x" does not support thinking'):
            read_think(value, PLAIN, "x")


@pytest.mark.parametrize(
    ("effort", "thinking"),
    [
        (None, Thinking()),
        ("none", Thinking(thinks=False)),
        ("minimal", Thinking(thinks=True, effort="low")),
        ("medium", Thinking(thinks=True, effort="medium")),
        ("ultra", Thinking(thinks=True, effort="max")),
    ],
)
def test_efforts_become_levels(effort, thinking):
    """A model that cannot think ignores them."""
    assert read_effort("f", effort, THINKER) == thinking
    assert read_effort("f", effort, PLAIN) == Thinking()


def test_an_unknown_effort_is_refused():
    """Also of a model that cannot think."""
    with pytest.raises(InvalidRequestError, match="f must be one of none, minimal"):
        read_effort("f", "huge", PLAIN)
