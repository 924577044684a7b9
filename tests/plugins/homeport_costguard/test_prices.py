import re
import tomllib
from datetime import date
from importlib.resources import files

import pytest

from homeport import ConfigError
from homeport_costguard.config import CostGuardConfig, PriceSettings
from homeport_costguard.money import micro_usd, token_cost, usd_text
from homeport_costguard.prices import PriceTable


@pytest.mark.parametrize(
    ("usd", "micro"), [(0.15, 150_000), (2.5, 2_500_000), (0.1 + 0.2, 300_000), (0.0000005, 1), (1e9, 10**15)]
)
def test_money_is_whole_micro_usd(usd, micro):
    """An amount becomes the nearest millionth; floats add no dust."""
    assert micro_usd(usd) == micro


def test_money_is_written_with_all_its_digits():
    """Nothing is rounded away on the page."""
    assert [usd_text(micro) for micro in (0, 1, 1_234_567, -5)] == [
        "0.000000",
        "0.000001",
        "1.234567",
        "-0.000005",
    ]


def test_cost_is_rounded_up_once():
    """A fraction of a millionth is charged as a whole one, per attempt and not per part."""
    assert token_cost(((1, 150_000), (1, 600_000))) == 1
    assert token_cost(((0, 150_000),)) == 0


def test_every_shipped_price_has_a_day_and_a_source():
    """A price without its day would be a rumour."""
    listed = tomllib.loads(files("homeport_costguard").joinpath("prices.toml").read_text())["prices"]
    assert listed
    for entry in listed:
        assert date.fromisoformat(entry["as_of"]) <= date(2026, 11, 21)
        assert re.search("https://", entry["source"])


def test_settings_win_over_the_file_and_the_file_over_what_is_shipped(tmp_path):
    """Users pay their own prices."""
    file = tmp_path / "prices.toml"
    file.write_text(
        '[[prices]]\nmodels = ["gpt-4o", "acme-*"]\ninput = 7.0\nas_of = "2026-11-01"\nsource = "bill"\n'
        '[[prices]]\nmodels = ["gpt-4o-mini"]\ninput = 9\nas_of = "2026-11-01"\nsource = "bill"\n'
    )
    own = {"gpt-4o": PriceSettings(input=1.0, as_of="2026-11-02")}
    table = PriceTable(CostGuardConfig(prices=own, price_file=str(file)))
    inputs = {
        name: table.find(name).input
        for name in ("gpt-4o:latest", "acme-9", "gpt-4o-mini", "claude-sonnet-4-5")
    }
    assert inputs == {
        "gpt-4o:latest": 1_000_000,
        "acme-9": 7_000_000,
        "gpt-4o-mini": 9_000_000,
        "claude-sonnet-4-5": 3_000_000,
    }
    assert table.find("gpt-4o-audio-preview") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prices = 3", "no list of prices"),
        ("[[prices]]\ninput = 1.0", "no list of prices"),
        ('[[prices]]\nmodels = ["a"]\ninputs = 1.0', "entry 1: unknown key 'inputs'"),
        ('[[prices]]\nmodels = ["a"]\ninput = -1.0\nas_of = "2026-11-01"', "entry 1: input must be"),
        ('[[prices]]\nmodels = ["a"]\ninput = nan\nas_of = "2026-11-01"', "entry 1: input must be"),
        ('[[prices]]\nmodels = ["a"]\ninput = 1.0\nas_of = "yesterday"', "as_of must be a day"),
        ("[[prices", "no list of prices"),
    ],
)
def test_file_of_prices_that_is_none_is_a_setting_error(tmp_path, text, message):
    """The file, the entry and the fault are named; nothing starts with half a table."""
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        PriceTable(CostGuardConfig(price_file=str(file)))


def test_missing_file_of_prices_is_a_setting_error(tmp_path):
    """A path that leads nowhere is told."""
    with pytest.raises(ConfigError, match="cannot read the prices"):
        PriceTable(CostGuardConfig(price_file=str(tmp_path / "none.toml")))


def test_cached_tokens_have_their_own_price():
    """What the server knew is cheaper; the worst case assumes that it knew nothing."""
    price = PriceTable(CostGuardConfig()).find("gpt-4o-mini")
    assert price.cost(prompt_tokens=100, completion_tokens=0, cached_tokens=100) == 8
    assert price.cost(prompt_tokens=100, completion_tokens=0) == 15
    assert price.most(prompt_tokens=100, completion_tokens=10) == 21
