import math
from pathlib import Path

import attrs
import pytest

from homeport import ConfigError
from homeport.config.assignments import Assignment
from homeport.config.loading import load_settings, plugin_config
from homeport.config.ollama_variables import without_effect
from homeport.config.settings import ModelSettings, ServerSettings
from homeport.domain.durations import keep_alive_seconds


@pytest.fixture
def write(tmp_path):
    """Write a settings file and give its path."""

    def to_file(text) -> Path:
        path = tmp_path / "homeport.toml"
        path.write_text(text)
        return path

    return to_file


def load(file=None, environ=None, flags=()):
    return load_settings(file=file, environ={"HOME": "/nowhere", **(environ or {})}, flags=flags)


def test_stronger_places_win_and_the_losers_are_remembered(write):
    """Defaults < file < environment < flags; each value knows where it was set."""
    flag = Assignment(("server", "port"), 3, "flag --port")
    loaded = load(write("[server]\nport = 1\n"), {"HOMEPORT_SERVER_PORT": "2"}, [flag])
    assert loaded.settings.server.port == 3
    assert [given.origin for given in loaded.assignments["server.port"]] == [
        "homeport.toml line 2",
        "variable HOMEPORT_SERVER_PORT",
        "flag --port",
    ]
    assert loaded.settings.server.host == "127.0.0.1"


def test_homeport_variables_win_over_ollamas():
    """OLLAMA_HOST sets both parts; our own variable wins over it."""
    loaded = load(environ={"OLLAMA_HOST": "0.0.0.0:99", "HOMEPORT_SERVER_HOST": "::1"})
    assert (loaded.settings.server.host, loaded.settings.server.port) == ("::1", 99)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("1.2.3.4", "1.2.3.4", 11434),
        (":8080", "0.0.0.0", 8080),
        ("http://somewhere", "somewhere", 80),
        ("https://somewhere/path", "somewhere", 443),
        ("[::1]:77", "::1", 77),
        (' "localhost:5" ', "localhost", 5),
    ],
)
def test_ollama_host_is_read_as_ollama_does(text, host, port):
    """A bare host, a port, a URL: each has its defaults."""
    server = load(environ={"OLLAMA_HOST": text}).settings.server
    assert (server.host, server.port) == (host, port)


@pytest.mark.parametrize("text", ["a:b", "a b:1:2", "localhost:" + "9" * 5000])
def test_ollama_host_that_is_none_is_an_error(text):
    """What is no host and port is refused, however long it is."""
    with pytest.raises(ConfigError, match="OLLAMA_HOST"):
        load(environ={"OLLAMA_HOST": text})


def test_variables_become_the_type_of_their_setting():
    """Lists are split at commas, numbers and switches are read."""
    settings = load(
        environ={
            "OLLAMA_ORIGINS": "a, b",
            "OLLAMA_NUM_PARALLEL": "3",
            "HOMEPORT_SERVER_INSECURE": "yes",
            "HOMEPORT_HOME": "/x",
            "HOMEPORT_DISABLED_PLUGINS": "one,two",
        }
    ).settings
    assert settings.server.allowed_origins == ("a", "b")
    assert settings.models.slots == 3
    assert settings.server.insecure is True
    assert settings.home == Path("/x")
    assert settings.plugins.disabled == ("one", "two")


def test_unknown_homeport_variable_is_a_warning_with_the_nearest_name():
    """A misspelt variable is not silently nothing."""
    (warning,) = load(environ={"HOMEPORT_SERVER_PROT": "1"}).warnings
    assert "HOMEPORT_SERVER_PROT sets nothing; did you mean HOMEPORT_SERVER_PORT?" in warning


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[server]\nport = "two"', "$.server.port: expected int, got 'two' (homeport.toml line 2)"),
        ("[server]\n\nprot = 1", "unknown key 'prot'; did you mean 'port'? (homeport.toml line 3)"),
        ("[server]\nport = true", "$.server.port: expected int, got True"),
        ('[server]\nallowed_hosts = "abc"', "expected list of str, got 'abc'"),
        ("server = 1", "$.server"),
        ("[plugins]\nstrickt = true", "unknown key 'strickt'"),
        ("[server", "not valid TOML"),
        ("[modles]\n", "unknown key 'modles'; did you mean 'models'?"),
    ],
)
def test_fault_in_the_file_names_path_value_and_line(write, text, message):
    """A wrong setting can be found and mended from the message alone."""
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text"),
    [("HOMEPORT_SERVER_PORT", "two"), ("OLLAMA_NUM_PARALLEL", "1.5"), ("HOMEPORT_SERVER_INSECURE", "maybe")],
)
def test_fault_in_a_variable_names_it(variable, text):
    """A wrong variable is an error with its name and value."""
    with pytest.raises(ConfigError, match=f"variable {variable}: expected .*{text}"):
        load(environ={variable: text})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nport = 99999", "$.server.port: must be 0 to 65535, got 99999"),
        ("[server]\nport = -1", "$.server.port: must be 0 to 65535, got -1"),
        ("[server]\nmax_body_bytes = 0", "$.server.max_body_bytes: must be at least 1, got 0"),
        ("[server]\nbody_timeout_seconds = inf", "$.server.body_timeout_seconds: must be a finite number"),
        ("[models]\nslots = -3", "$.models.slots: must be at least 0, got -3"),
        ("[models]\nthreads = -1", "$.models.threads: must be at least 0, got -1"),
        ("[models]\ncontext_length = 3", "$.models.context_length: must be 0 or at least 4, got 3"),
        ("[models]\ncontext_length = -4", "$.models.context_length: must be 0 or at least 4, got -4"),
        ("[models]\nload_timeout_seconds = nan", "$.models.load_timeout_seconds: must be a finite number"),
        ("[models]\nload_timeout_seconds = 0", "above 0, got 0.0"),
        ('[models]\nkeep_alive = "soon"', "$.models.keep_alive: must be a number of seconds or a duration"),
        ("[models]\nkeep_alive = nan", "$.models.keep_alive: must be a number of seconds or a duration"),
        ("[models]\nkeep_alive = true", "$.models.keep_alive: expected str or float, got True"),
        ("[gateway]\nmax_waiting = 0", "$.gateway.max_waiting: must be at least 1, got 0"),
    ],
)
def test_value_outside_its_range_is_a_fault_with_path_and_line(write, text, message):
    """What could not work is refused when it is read, not when it is used."""
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert message in str(caught.value)
    assert str(caught.value).endswith("(homeport.toml line 2)")


def test_every_value_outside_its_range_is_named(write):
    """Faults of one table do not hide each other."""
    with pytest.raises(ConfigError) as caught:
        load(write("[models]\nslots = -1\nthreads = -1\n"), {"OLLAMA_HOST": "127.0.0.1:99999"})
    assert {line.rpartition(" (")[2] for line in str(caught.value).splitlines()} == {
        "variable OLLAMA_HOST)",
        "homeport.toml line 2)",
        "homeport.toml line 3)",
    }


def test_quantisation_of_pulls_is_one_of_a_few(write):
    """A type that weights cannot have is refused with those they can."""
    assert load(environ={"HOMEPORT_MODELS_QUANT": "int8"}).settings.models.quant == "int8"
    with pytest.raises(ConfigError) as caught:
        load(write('[models]\nquant = "q4_0"\n'))
    assert str(caught.value) == (
        "$.models.quant: must be one of auto, int4, int8, bf16, fp32, got 'q4_0' (homeport.toml line 2)"
    )


def test_value_outside_its_range_is_refused_in_code_too():
    """Settings that are built by hand have the same ranges."""
    with pytest.raises(ConfigError, match="port: must be 0 to 65535, got 99999"):
        ServerSettings(port=99999)


@pytest.mark.parametrize(
    ("text", "seconds"), [("-1", math.inf), ("300", 300.0), ("0", 0.0), ("1.5", 1.5), ("5m", 300.0)]
)
def test_keep_alive_variable_is_a_duration_or_seconds(text, seconds):
    """A bare number in OLLAMA_KEEP_ALIVE counts seconds, and a negative one is for ever, as with Ollama."""
    given = load(environ={"OLLAMA_KEEP_ALIVE": text}).settings.models.keep_alive
    assert keep_alive_seconds(given) == seconds


@pytest.mark.parametrize(("text", "seconds"), [("-1", math.inf), ("300", 300.0), ('"1h"', 3600.0)])
def test_keep_alive_in_the_file_may_be_a_number(write, text, seconds):
    """TOML has numbers, so they need no quotes."""
    given = load(write(f"[models]\nkeep_alive = {text}")).settings.models.keep_alive
    assert keep_alive_seconds(given) == seconds


def test_zero_stands_for_the_default():
    """OLLAMA_NUM_PARALLEL=0 means that the server decides."""
    models = load(environ={"OLLAMA_NUM_PARALLEL": "0", "OLLAMA_CONTEXT_LENGTH": "0"}).settings.models
    assert (models.slots, models.context_length) == (32, 4096)
    assert ModelSettings(slots=0) == ModelSettings()


def test_message_about_a_secret_does_not_show_it(write):
    """A key of the wrong type is named, not printed."""
    with pytest.raises(ConfigError) as caught:
        load(write("[server]\napi_key = 123456\n"))
    assert str(caught.value) == "$.server.api_key: expected str (homeport.toml line 2)"


def test_missing_file_that_was_asked_for_is_an_error(tmp_path):
    """``--config`` must exist."""
    with pytest.raises(ConfigError, match="cannot read the settings file"):
        load(tmp_path / "absent.toml")


@attrs.frozen
class OwnConfig:
    threads: int = 1


def test_plugin_tables_are_structured_by_their_own_class(write):
    """Each plugin's table has its class, its path and its line in messages."""
    loaded = load(write('[plugins.onnx-cpu]\nthreads = "two"\n[plugins.fine]\nthreads = 2'))
    assert plugin_config(loaded.settings, "fine", OwnConfig) == OwnConfig(2)
    assert plugin_config(loaded.settings, "absent", OwnConfig) == OwnConfig(1)
    with pytest.raises(ConfigError) as caught:
        plugin_config(loaded.settings, "onnx-cpu", OwnConfig, loaded.origins)
    assert str(caught.value) == "$.plugins.onnx-cpu.threads: expected int, got 'two' (homeport.toml line 2)"


@pytest.mark.parametrize("name", ["cache_memory", "least_free"])
@pytest.mark.parametrize("value", ["25%", "1GiB", 40_000_000, "40000000"])
def test_amounts_of_memory_are_read_from_file_and_variable(write, name, value):
    """A share, an amount with its unit and a number of bytes all do."""
    text = f"[models]\n{name} = {value!r}\n"
    assert getattr(load(write(text)).settings.models, name) == value
    from_variable = load(environ={f"HOMEPORT_MODELS_{name.upper()}": str(value)}).settings.models
    assert str(getattr(from_variable, name)) == str(value)


@pytest.mark.parametrize("name", ["cache_memory", "least_free"])
@pytest.mark.parametrize("value", ['"2XB"', '"0%"', '"120%"', "-1", "0", "true", "1.5", '""', "[]"])
def test_what_is_no_amount_of_memory_is_refused(write, name, value):
    """Unknown units, shares of nothing or of more than all, and other types are faults with their line."""
    with pytest.raises(ConfigError) as caught:
        load(write(f"[models]\n{name} = {value}\n"))
    assert str(caught.value).startswith(f"$.models.{name}: ")
    assert str(caught.value).endswith("(homeport.toml line 2)")


def test_tables_have_no_variable():
    """A variable is one line of text; routes and tiers are written in the file."""
    warnings = load(
        environ={"HOMEPORT_ROUTES": "x", "HOMEPORT_TIERS": "x", "HOMEPORT_PLUGINS_TABLES": "x"}
    ).warnings
    assert len(warnings) == 3


def test_routes_and_tiers_are_read_with_names_that_have_dots(write):
    """Models are named with dots and colons, in quotes."""
    settings = load(
        write(
            '[tiers]\nfast = ["a"]\n[routes."llama3.2:3b"]\nmodels = ["x", "y"]\nweights = [1, 2.5]\n'
            "canary_share = 0.5\n"
        )
    ).settings
    assert settings.tiers == {"fast": ("a",)}
    route = settings.routes["llama3.2:3b"]
    assert (route.models, route.weights, route.canary_share) == (("x", "y"), (1.0, 2.5), 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[routes."llama3.2:3b"]\nmodels = ["a"]\ncanary_share = 2',
            '$.routes."llama3.2:3b".canary_share: must be 0 to 1, got 2.0 (homeport.toml line 3)',
        ),
        (
            "routes.a = { model = ['a'] }",
            "$.routes.a: unknown key 'model'; did you mean 'models'? (homeport.toml line 1)",
        ),
        ("[routes]\na = ['x']", "$.routes.a: expected table, got ['x'] (homeport.toml line 2)"),
        ("[tiers]\nfast = 'x'", "$.tiers.fast: expected list of str, got 'x' (homeport.toml line 2)"),
        ("[tiers.fast]\nmodels = ['x']", "$.tiers.fast: expected list of str, got {'models': ['x']}"),
        ("[gateway.breaker]\nopen_second = 1", "$.gateway.breaker: unknown key 'open_second'; did you mean"),
        ("tiers = 5", "$.tiers: expected table, got 5 (homeport.toml line 1)"),
    ],
)
def test_fault_in_a_route_names_it_in_full(write, text, message):
    """Tables with keys of the user's own are as strict as the others."""
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert message in str(caught.value)


def test_the_environment_is_not_shown_with_the_settings():
    """Settings that are printed hold no variable and no table of a plugin."""
    assert "hush" not in repr(load(environ={"SOME_KEY": "hush"}).settings)


@pytest.mark.parametrize(
    ("environ", "level"),
    [
        ({"OLLAMA_DEBUG": "1"}, "DEBUG"),
        ({"OLLAMA_DEBUG": "2", "LOG_LEVEL": "ERROR"}, "TRACE"),
        ({"OLLAMA_DEBUG": "0", "LOG_LEVEL": "ERROR"}, "ERROR"),
        ({"OLLAMA_DEBUG": "2", "HOMEPORT_LOG_LEVEL": "ERROR"}, "ERROR"),
    ],
)
def test_ollama_debug_is_a_level(environ, level):
    """Homeport's names win over Ollama's, and those over older ones."""
    assert load(environ=environ).settings.log.level == level


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("45", 45), ("0", 1e9), ("-1", 1e9)]
)
def test_ollama_load_timeout_is_a_duration(text, seconds):
    """A bare number counts seconds; 0 and less sets no bound."""
    settings = load(environ={"OLLAMA_LOAD_TIMEOUT": text}).settings
    assert settings.models.load_timeout_seconds == seconds


@pytest.mark.parametrize(("name", "text"), [("OLLAMA_DEBUG", "maybe"), ("OLLAMA_LOAD_TIMEOUT", "soon")])
def test_fault_in_a_variable_of_ollama_names_it(name, text):
    """What cannot be read is no default."""
    with pytest.raises(ConfigError, match=f"variable {name}: .*{text}"):
        load(environ={name: text})


def test_variables_without_effect_are_listed():
    """Who comes from Ollama learns which switches do nothing here."""
    environ = {"OLLAMA_FLASH_ATTENTION": "1", "CUDA_VISIBLE_DEVICES": "", "OLLAMA_HOST": "x", "PATH": "y"}
    assert without_effect(environ) == ("CUDA_VISIBLE_DEVICES", "OLLAMA_FLASH_ATTENTION")


def test_a_file_of_nothing_but_faults_is_refused_quickly(write):
    """Of thousands of unknown keys the first hundred are told."""
    text = "[models]\n" + "".join(f"key{number} = 1\n" for number in range(20_000))
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert len(str(caught.value).splitlines()) == 101
