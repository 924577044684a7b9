import enum
from collections.abc import Mapping
from typing import Literal

import attrs
import pytest

from homeport import ConfigError, setting
from homeport.config.loading import load_settings, plugin_config
from homeport.config.schema import class_schema


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


def positive(value: float | None) -> None:
    if value is not None and value <= 0:
        raise ValueError(f"must be above 0, got {value!r}")


@attrs.frozen(kw_only=True)
class Upstream:
    """One server."""

    url: str
    weight: float = setting(1.0, "its share", check=positive)
    key: str | None = setting(None, "what it wants to hear", secret=True)


@attrs.frozen(kw_only=True)
class Rule:
    """One rule."""

    tag: str = ""
    cap: int | None = setting(None, "its bound", check=positive)


@attrs.frozen(kw_only=True)
class ParrotConfig:
    """How the parrot speaks."""

    upstreams: Mapping[str, Upstream] = setting(dict, "servers by name")
    rules: tuple[Rule, ...] = setting((), "first to last")
    shares: tuple[float, ...] = setting((), "of each")
    groups: Mapping[str, tuple[str, ...]] = setting(dict, "names by group")
    colour: Colour = setting(Colour.RED, "of its feathers")
    mode: Literal["loud", "quiet"] = setting("loud", "how it speaks")
    amount: str | int = setting("1", "how much")
    url: str = setting("", "where it lives", env=("PARROT_URL", "PARROT_ADDRESS"))
    size: int = setting(1, "how large it is", env=("PARROT_SIZE",))


@pytest.fixture
def parrot(tmp_path):
    """Read a parrot's settings from a file and variables."""

    def read(text: str, **environ: str) -> ParrotConfig:
        path = tmp_path / "homeport.toml"
        path.write_text(text)
        loaded = load_settings(file=path, environ=environ)
        return plugin_config(loaded.settings, "parrot", ParrotConfig, loaded.origins)

    return read


def test_tables_arrays_words_and_numbers_are_structured(parrot):
    """Every shape that TOML can write has its type."""
    found = parrot("""
        [plugins.parrot]
        shares = [1, 0.5]
        colour = "blue"
        mode = "quiet"
        amount = 5
        groups = { all = ["a", "b"] }
        upstreams."gpu.box" = { url = "http://x", weight = 2 }
        [[plugins.parrot.rules]]
        tag = "x"
        [[plugins.parrot.rules]]
        cap = 3
    """)
    assert found == ParrotConfig(
        shares=(1.0, 0.5),
        colour=Colour.BLUE,
        mode="quiet",
        amount=5,
        groups={"all": ("a", "b")},
        upstreams={"gpu.box": Upstream(url="http://x", weight=2.0)},
        rules=(Rule(tag="x"), Rule(cap=3)),
    )
    assert isinstance(found.colour, Colour)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[plugins.parrot.upstreams."gpu.box"]\nurl = "x"\nweight = -1',
            '$.plugins.parrot.upstreams."gpu.box".weight: must be above 0, got -1.0 (homeport.toml line 3)',
        ),
        (
            '[plugins.parrot.upstreams."gpu.box"]\nurl = "x"\nwieght = 1',
            "$.plugins.parrot.upstreams.\"gpu.box\": unknown key 'wieght'; did you mean 'weight'? (%)",
        ),
        (
            "[plugins.parrot.upstreams.a]\nweight = 1",
            "$.plugins.parrot.upstreams.a.url: must be set (homeport.toml line 1)",
        ),
        (
            "[plugins.parrot]\n[[plugins.parrot.rules]]\n[[plugins.parrot.rules]]\ncap = 0",
            "$.plugins.parrot.rules[1].cap: must be above 0, got 0 (homeport.toml line 4)",
        ),
        (
            "[plugins.parrot]\nrules = [{},\n {tga = 1}]",
            "$.plugins.parrot.rules[1]: unknown key 'tga'; did you mean 'tag'? (homeport.toml line 3)",
        ),
        (
            '[plugins.parrot]\nshares = [1,\n"x"]',
            "$.plugins.parrot.shares[1]: expected float, got 'x' (homeport.toml line 3)",
        ),
        (
            "[plugins.parrot]\nshares = 5",
            "$.plugins.parrot.shares: expected list of float, got 5 (homeport.toml line 2)",
        ),
        (
            '[plugins.parrot]\nrules = "x"',
            "$.plugins.parrot.rules: expected list of tables, got 'x' (homeport.toml line 2)",
        ),
        (
            "[plugins.parrot]\nupstreams = 5",
            "$.plugins.parrot.upstreams: expected table, got 5 (homeport.toml line 2)",
        ),
        (
            "[plugins.parrot]\nupstreams.a = 5",
            "$.plugins.parrot.upstreams.a: expected table, got 5 (homeport.toml line 2)",
        ),
        (
            '[plugins.parrot.groups]\na = ["x"]\nb = "x"',
            "$.plugins.parrot.groups.b: expected list of str, got 'x' (homeport.toml line 3)",
        ),
        (
            '[plugins.parrot]\ncolour = "green"',
            "$.plugins.parrot.colour: must be one of red, blue, got 'green' (homeport.toml line 2)",
        ),
        (
            '[plugins.parrot]\nmode = "LOUD"',
            "$.plugins.parrot.mode: must be one of loud, quiet, got 'LOUD' (homeport.toml line 2)",
        ),
        (
            "[plugins.parrot]\namount = true",
            "$.plugins.parrot.amount: expected str or int, got True (homeport.toml line 2)",
        ),
        (
            "[plugins.parrot]\namount = 1.5",
            "$.plugins.parrot.amount: expected str or int, got 1.5 (homeport.toml line 2)",
        ),
    ],
)
def test_fault_deep_in_a_table_has_path_key_and_line(parrot, text, message):
    """However deep a value lies, its fault can be found."""
    with pytest.raises(ConfigError) as caught:
        parrot(text)
    assert str(caught.value) == message.replace("(%)", "(homeport.toml line 3)")


def test_faults_of_one_table_do_not_hide_each_other(parrot):
    """All wrong items are named at once."""
    with pytest.raises(ConfigError) as caught:
        parrot("[plugins.parrot]\nshares = ['a', 1, 'b']\nupstreams.a = {x = 1, y = 2, url = 'u'}\n")
    told = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in told] == [
        "$.plugins.parrot.upstreams.a",
        "$.plugins.parrot.upstreams.a",
        "$.plugins.parrot.shares[0]",
        "$.plugins.parrot.shares[2]",
    ]


def test_a_secret_deep_in_a_table_is_not_shown(parrot):
    """The type is wrong, the value stays hidden."""
    with pytest.raises(ConfigError) as caught:
        parrot("[plugins.parrot.upstreams.a]\nurl = 'x'\nkey = 12345\n")
    assert "12345" not in str(caught.value)
    assert "upstreams.a.key: expected str (homeport.toml line 3)" in str(caught.value)


def test_a_giant_value_is_cut(parrot):
    """A message fits on a line, whatever was written."""
    with pytest.raises(ConfigError) as caught:
        parrot(f"[plugins.parrot]\nsize = '{'x' * 100_000}'\n")
    assert len(str(caught.value)) < 400


def test_variables_of_a_plugin_are_stronger_than_the_file(parrot):
    """The first that a setting names wins, and a number is read as one."""
    text = "[plugins.parrot]\nurl = 'file'\nsize = 2\n"
    assert parrot(text).url == "file"
    assert parrot(text, PARROT_ADDRESS="second").url == "second"
    found = parrot(text, PARROT_ADDRESS="second", PARROT_URL="first", PARROT_SIZE="7")
    assert (found.url, found.size) == ("first", 7)


def test_fault_in_a_variable_of_a_plugin_names_it(parrot):
    """As with homeport's own."""
    with pytest.raises(ConfigError, match="variable PARROT_SIZE: expected int, got 'big'"):
        parrot("", PARROT_SIZE="big")


def test_schema_describes_what_is_nested():
    """An editor knows the keys of tables within tables, which are needed, and what words there are."""
    schema = class_schema(ParrotConfig)["properties"]
    upstream = schema["upstreams"]["additionalProperties"]
    assert upstream["required"] == ["url"]
    assert upstream["additionalProperties"] is False
    assert schema["rules"]["items"]["properties"]["cap"]["type"] == "integer"
    assert schema["groups"]["additionalProperties"] == {"type": "array", "items": {"type": "string"}}
    assert schema["shares"]["items"] == {"type": "number"}
    assert schema["colour"]["enum"] == ["red", "blue"]
    assert schema["mode"]["enum"] == ["loud", "quiet"]
    assert schema["amount"]["anyOf"] == [{"type": "string"}, {"type": "integer"}]
