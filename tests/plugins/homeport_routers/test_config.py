import tomllib

import pytest

from homeport import ConfigError
from homeport.config.loading import plugin_config
from homeport.config.settings import PluginSettings, Settings
from homeport_routers.config import ComplexityConfig, LoadConfig, RulesConfig, StrategyConfig

CONFIGS = {
    "rules": RulesConfig,
    "complexity": ComplexityConfig,
    "strategy": StrategyConfig,
    "load": LoadConfig,
}


def read(text):
    """Structure the one plugin table of a settings file."""
    ((name, table),) = tomllib.loads(text)["plugins"].items()
    return plugin_config(Settings(plugins=PluginSettings(tables={name: table})), name, CONFIGS[name])


def test_rules_keep_the_order_in_which_they_are_written():
    """The order of the file is the order of the rules, not that of the alphabet."""
    text = "\n".join(f"[plugins.rules.rule.{name}]\ncritical = true" for name in ("zebra", "ant", "mole"))
    assert list(read(text).rule) == ["zebra", "ant", "mole"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[plugins.rules.rule.a]\ntags = ['x']", "a rule needs one of prefer, only, refuse, critical"),
        ("[plugins.rules.rule.a]\nrefuse = true\nleast_tokens = -1", "must be 0 or more, got -1"),
        (
            "[plugins.rules.rule.a]\nrefuse = true\nleast_tokens = 9\nmost_tokens = 8",
            "less than least_tokens 9",
        ),
        ("[plugins.rules.rule.a]\nrefuse = true\ntag = ['x']", "did you mean 'tags'?"),
        ("[plugins.rules.rule.a]\nprefer = 'fast'", "expected list of str, got 'fast'"),
        ("[plugins.rules.rule.a]\nrefuse = true\nwords = ['x', ' ']", "must not be empty, got ' '"),
        ("[plugins.rules.rule.a]\nonly = ['']", "must not be empty, got ''"),
        ("[plugins.rules]\nsure = nan", "must be 0 to 1, got nan"),
        ("[plugins.complexity]\nstandard_from = 0.8", "standard_from 0.8 is more than complex_from 0.7"),
        ("[plugins.complexity]\ncomplex_from = 7", "must be 0 to 1, got 7.0"),
        ("[plugins.strategy.weights.sped]\nlatency = 1", "got 'sped'"),
        ("[plugins.strategy.weights.speed]\nlatency = -1", "must be 0 or more, got -1.0"),
        ("[plugins.strategy.weights.speed]\nlatency = inf", "must be 0 or more, got inf"),
        ("[plugins.strategy.weights.speed]\nlatency = 0", "at least one weight must be more than 0"),
        ("[plugins.load]\namong = 'all'", "must be one of model, group, got 'all'"),
    ],
)
def test_wrong_settings_are_refused_with_place_and_remedy(text, told):
    """A fault names its table, its value and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert told in caught.value.message
    assert "$.plugins." in caught.value.message
