from pathlib import Path

import attrs
import pytest

from homeport import ConfigError
from homeport.config.assignments import Assignment
from homeport.config.loading import load_settings, plugin_config


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
