import pytest

from homeport import ConfigError, Settings
from homeport.config.loading import plugin_config
from homeport.config.settings import PluginSettings
from homeport_costguard.budgets import JOB_BUDGET, Budgets
from homeport_costguard.config import CostGuardConfig


def read(table):
    """Read a table as homeport does."""
    settings = Settings(plugins=PluginSettings(tables={"cost-guard": table}))
    return plugin_config(settings, "cost-guard", CostGuardConfig)


def test_table_is_read_as_documented():
    """Prices and budgets are tables by name."""
    config = read(
        {
            "prices": {"acme": {"input": 1, "as_of": "2026-11-01"}},
            "budgets": {"team": {"scope": "agent", "period": "month", "hard_usd": 5}},
        }
    )
    assert config.prices["acme"].input == 1.0
    assert [budget.name for budget in Budgets(config).all] == ["team", JOB_BUDGET]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"budgets": {"a": {"scope": "planet"}}},
            r"\$\.plugins\.cost-guard\.budgets\.a\.scope: must be one of global",
        ),
        ({"budgets": {"a": {"match": "x"}}}, "match is 'x', but a budget of scope global counts all"),
        ({"budgets": {"a": {"period": "week"}}}, "period: must be one of day, month, total, got 'week'"),
        ({"budgets": {"a": {"hard_usd": -1.0}}}, "hard_usd: must be an amount of USD"),
        ({"budgets": {"a": {"hard_usd": float("nan")}}}, "hard_usd: must be an amount"),
        ({"budgets": {"a": {"hard_tokens": 1.5}}}, "expected int"),
        ({"budgets": {"a": {"hard_token": 1}}}, "did you mean 'hard_tokens'"),
        ({"prices": {"a": {"input": 1.0}}}, "as_of"),
        ({"most_answer_tokens": 0}, "must be 1 to"),
        ({"remote_cap_share": 2.0}, "must be 0 to 1"),
    ],
)
def test_wrong_setting_is_named_with_its_path(table, message):
    """What is wrong, where, and what is allowed."""
    with pytest.raises(ConfigError, match=message):
        read(table)


def test_job_budget_can_be_left_out_or_replaced():
    """10 USD per job are the default; 0 takes it away, a budget of that name replaces it."""
    assert [b.hard.micro_usd for b in Budgets(CostGuardConfig()).all] == [10_000_000]
    assert Budgets(CostGuardConfig(job_usd=0.0)).all == ()
    assert len(Budgets(read({"budgets": {JOB_BUDGET: {"scope": "job", "hard_calls": 3}}})).all) == 1
