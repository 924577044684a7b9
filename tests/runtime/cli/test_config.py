import json

import pytest


@pytest.fixture
def config_file(tmp_path):
    """Write a settings file and give its path."""

    def write(text):
        path = tmp_path / "homeport.toml"
        path.write_text(text)
        return str(path)

    return write


def test_each_value_is_shown_with_its_origin(homeport, config_file):
    """File, variable, flag and default are told apart, the file with its line."""
    file = config_file('[models]\nslots = 3\nkeep_alive = "9m"\n')
    done = homeport("--config", file, "--log-level", "debug", "config", "show", "--json", LOG_LEVEL="ERROR")
    shown = json.loads(done.stdout)
    assert shown["models.slots"] == {"value": 3, "origin": "homeport.toml line 2", "overridden": []}
    assert shown["models.threads"]["origin"] == "default"
    assert shown["log.level"] == {
        "value": "DEBUG",
        "origin": "flag --log-level",
        "overridden": [{"value": "ERROR", "origin": "variable LOG_LEVEL"}],
    }


def test_the_table_shows_what_was_overridden_when_asked(homeport, config_file):
    """A loser stands below the winner, with its origin."""
    file = config_file("[models]\nslots = 3\n")
    done = homeport("--config", file, "config", "show", "--verbose", OLLAMA_NUM_PARALLEL="5")
    lines = [line.split() for line in done.stdout.splitlines()]
    place = lines.index(["models.slots", "5", "variable", "OLLAMA_NUM_PARALLEL"])
    assert lines[place + 1] == ["3", "overridden:", "homeport.toml", "line", "2"]


def test_origins_can_be_left_out(homeport):
    """--no-origin leaves names and values."""
    assert homeport("config", "show", "--no-origin").stdout.splitlines()[0].split() == ["SETTING", "VALUE"]


@pytest.mark.parametrize("options", [(), ("--verbose",), ("--json",)])
def test_secrets_are_never_printed(homeport, config_file, options):
    """Neither the key in effect nor the one it overrides is shown."""
    file = config_file('[server]\napi_key = "hush-file"\n')
    done = homeport("--config", file, "config", "show", *options, HOMEPORT_API_KEY="hush-variable")
    assert "hush" not in done.stdout + done.stderr
    assert "(hidden)" in done.stdout


def test_right_settings_pass_the_check(homeport):
    """Nothing to say is said in one word."""
    done = homeport("config", "check")
    assert (done.returncode, done.stdout) == (0, "OK\n")


def test_every_fault_has_its_line(homeport, config_file):
    """All faults are told at once, each with path, value and place."""
    file = config_file('[models]\nslot = 5\nthreads = "two"\n')
    done = homeport("--config", file, "config", "check")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "$.models.threads: expected int, got 'two' (homeport.toml line 3)",
        "$.models: unknown key 'slot'; did you mean 'slots'? (homeport.toml line 2)",
    ]


def test_the_table_of_an_unknown_plugin_is_a_fault(homeport, config_file):
    """A misspelt table is named with the nearest that exists."""
    file = config_file("[plugins.transformers-cqu]\nlean = true\n")
    done = homeport("--config", file, "config", "check")
    assert done.returncode == 1
    assert "$.plugins.transformers-cqu: no installed plugin" in done.stdout
    assert "did you mean 'transformers-cpu'? (homeport.toml line 1)" in done.stdout


def test_the_table_of_a_plugin_is_checked_with_its_own_class(homeport, config_file):
    """A plugin's settings are as strict as homeport's own."""
    file = config_file("[plugins.transformers-cpu]\nlean = 5\n")
    done = homeport("--config", file, "config", "check")
    assert done.returncode == 1
    assert done.stdout == "$.plugins.transformers-cpu.lean: expected bool, got 5 (homeport.toml line 2)\n"


def test_an_unknown_variable_is_warned_of(homeport):
    """A variable that sets nothing is no fault, but worth a line."""
    done = homeport("config", "check", HOMEPORT_SERVER_PROT="5")
    assert done.returncode == 0
    assert "Warning: the variable HOMEPORT_SERVER_PROT sets nothing; did you mean" in done.stderr


def test_the_schema_describes_plugin_tables_too(homeport):
    """An editor can check homeport.toml by it."""
    schema = json.loads(homeport("config", "schema").stdout)
    assert schema["properties"]["server"]["properties"]["port"]["type"] == "integer"
    assert "lean" in schema["properties"]["plugins"]["properties"]["transformers-cpu"]["properties"]


def test_a_backend_that_does_not_exist_is_a_fault(homeport, config_file):
    """What serve would refuse is named here, with its line and what there is."""
    file = config_file('[models]\nbackend = "nope"\n')
    for verb in (("config", "check"), ("doctor",)):
        done = homeport("--config", file, *verb)
        assert done.returncode == 1
        assert "$.models.backend: no plugin offers 'nope'; known:" in done.stdout
        assert "(homeport.toml line 2)" in done.stdout


@pytest.mark.parametrize("kind", ["routers", "validators"])
def test_a_router_or_validator_that_does_not_exist_is_a_fault(homeport, config_file, kind):
    """The same for what the gateway is told to use."""
    done = homeport("--config", config_file(f'[gateway]\n{kind} = ["nope"]\n'), "config", "check")
    assert done.returncode == 1
    assert f"$.gateway.{kind}: no plugin offers 'nope'" in done.stdout


def test_a_wrong_level_is_a_fault_with_its_place(homeport, config_file):
    """A level that the log does not know is named."""
    done = homeport("--config", config_file('[log]\nlevel = "LOUD"\n'), "config", "check")
    assert done.stdout.startswith("$.log.level: no level 'LOUD'; known: TRACE")
    assert done.stdout.endswith("(homeport.toml line 2)\n")


@pytest.mark.parametrize("way", ["flag", "file", "variable"])
def test_blocking_a_plugin_that_is_not_installed_is_warned_of(homeport, config_file, way):
    """A misspelt name blocks nothing, which somebody should know."""
    file = config_file('[plugins]\ndisabled = ["transformers-cqu"]\n' if way == "file" else "")
    flags = ("-p", "no:transformers-cqu") if way == "flag" else ()
    environment = {"HOMEPORT_DISABLED_PLUGINS": "transformers-cqu"} if way == "variable" else {}
    done = homeport("--config", file, *flags, "config", "check", **environment)
    assert done.returncode == 0
    assert (
        "Warning: no plugin 'transformers-cqu' is installed, so nothing is blocked or allowed" in done.stderr
    )
    assert "did you mean 'transformers-cpu'?" in done.stderr


def test_odd_settings_pass_with_a_warning(homeport, config_file):
    """What works but was hardly meant so is told on standard error."""
    file = config_file(
        '[tiers]\nfast = ["power"]\npower = ["x"]\n[plugins.folder.models]\ntiny = "/no/where"\n'
    )
    done = homeport("--config", file, "config", "check")
    assert (done.returncode, done.stdout) == (0, "OK\n")
    assert "Warning: $.tiers.fast[0]: 'power' is a tier;" in done.stderr
    assert (
        "Warning: $.plugins.folder.models.tiny: '/no/where' does not exist (homeport.toml line 5)"
        in done.stderr
    )


def test_every_leaf_of_a_table_is_shown_with_its_origin(homeport, config_file, tmp_path):
    """Routes, tiers and what an included file adds are shown one by one."""
    (tmp_path / "prices.toml").write_text(
        '[routes."llama3.2:3b"]\nfallbacks = ["x"]\n[tiers]\nfast = ["t"]\n'
    )
    file = config_file('include = ["prices.toml"]\n[routes."llama3.2:3b"]\nmodels = ["a"]\n')
    shown = json.loads(homeport("--config", file, "config", "show", "--json").stdout)
    assert shown['routes."llama3.2:3b".models'] == {
        "value": ["a"],
        "origin": "homeport.toml line 3",
        "overridden": [],
    }
    assert shown['routes."llama3.2:3b".fallbacks']["origin"] == "prices.toml line 2"
    assert shown['routes."llama3.2:3b".canary_share']["origin"] == "default"
    assert shown["tiers.fast"] == {"value": ["t"], "origin": "prices.toml line 4", "overridden": []}
    assert not any("environ" in path or "tables" in path for path in shown)


def test_a_fault_in_a_quoted_table_is_found(homeport, config_file):
    """A misspelt setting is named by line, path and nearest key, whatever its table is called."""
    file = config_file('[models]\nslots = 1\n\n[routes."llama3.2:3b"]\nmodels = ["a"]\nfallback = ["b"]\n')
    done = homeport("--config", file, "config", "check")
    assert done.returncode == 1
    assert done.stdout == (
        "$.routes.\"llama3.2:3b\": unknown key 'fallback'; did you mean 'fallbacks'? (homeport.toml line 6)\n"
    )
