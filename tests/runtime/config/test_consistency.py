import pytest

from homeport import ConfigError
from homeport.config.loading import load_settings


@pytest.fixture
def load(tmp_path):
    """Load settings from a text."""

    def read(text):
        path = tmp_path / "homeport.toml"
        path.write_text(text)
        return load_settings(file=path, environ={})

    return read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gateway.breaker]\nleast_calls = 21", "$.gateway.breaker.least_calls: must be at most"),
        ("[gateway.breaker]\nmost_open_seconds = 5", "$.gateway.breaker.most_open_seconds: must be at least"),
        (
            "[gateway.retry]\nmost_delay_seconds = 0.01",
            "$.gateway.retry.most_delay_seconds: must be at least",
        ),
        (
            '[models]\npin = ["a", "b"]\nmost_loaded = 1',
            "$.models.pin: names 2 models, but models.most_loaded",
        ),
        ('[tiers]\nfast = ["fast"]', "$.tiers.fast[0]: the tier names itself, 'fast'"),
        (
            '[routes.chat]\nmodels = ["a"]\nweights = [1, 2]',
            "$.routes.chat.weights: expected 1 numbers, one for each of models, got 2 (homeport.toml line 3)",
        ),
        ('[routes.chat]\nmodels = ["a"]\nweights = [nan]', "expected numbers from 0 on, not all 0"),
        ('[routes.chat]\nmodels = ["a"]\nweights = [-1]', "expected numbers from 0 on, not all 0"),
        ('[routes.chat]\nmodels = ["a"]\nweights = [0]', "expected numbers from 0 on, not all 0"),
        (
            '[routes."a.b"]\nfallbacks = ["c", "a.b"]',
            "$.routes.\"a.b\".fallbacks[1]: the route falls back to itself, 'a.b' (homeport.toml line 2)",
        ),
        ('[routes.chat]\nshadow = "chat"', "$.routes.chat.shadow: 'chat' is the route itself"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(load, text, message):
    """What could never work together is a fault with its place."""
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[gateway.timeouts]\ntotal_seconds = 30\nqueue_seconds = 40",
            "$.gateway.timeouts.queue_seconds: 40 s are never reached: gateway.timeouts.total_seconds is",
        ),
        ('[gateway]\nfallbacks = ["a", "b", "a"]', "$.gateway.fallbacks[2]: 'a' is named twice"),
        ("[tiers]\nfast = []", "$.tiers.fast: names no model"),
        ('[tiers]\nfast = ["power"]\npower = ["x"]', "$.tiers.fast[0]: 'power' is a tier"),
        ('[routes.a]\nmodels = ["b"]\n[routes.b]\nmodels = ["x"]', "$.routes.a.models[0]: 'b' is a route"),
        ('[models]\npin = ["a"]\npreload = ["b"]\nmost_loaded = 1', "$.models.preload: 2 models"),
    ],
)
def test_odd_settings_are_warned_of(load, text, message):
    """What works, but hardly as it was meant, is told and used."""
    (warning,) = load(text).warnings
    assert message in warning


def test_defaults_are_not_warned_of(load):
    """Who shortens the whole time need not shorten all that it has room for."""
    assert load("[gateway.timeouts]\ntotal_seconds = 5\n").warnings == ()


def test_a_route_may_offer_the_model_that_it_is_named_after(load):
    """Its own model among others is how traffic is shared."""
    assert load('[routes.small]\nmodels = ["small", "large"]\nweights = [1, 3]\n').warnings == ()
