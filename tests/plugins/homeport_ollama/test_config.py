import subprocess
import sys

import pytest

from homeport import ConfigError, Settings
from homeport.config.loading import load_settings, plugin_config
from homeport_ollama.backend import build
from homeport_ollama.config import OllamaConfig
from homeport_ollama.plugin import homeport_backends

CODE = """
import sys
import homeport_ollama.plugin as plugin
list(plugin.homeport_backends())
print(sorted({"aiohttp", "yarl", "msgspec"} & set(sys.modules)))
"""


def read(tmp_path, text="", **variables):
    file = tmp_path / "homeport.toml"
    file.write_text(text)
    settings = load_settings(file=file, environ=variables).settings
    return plugin_config(settings, "ollama-legacy", OllamaConfig)


def test_it_is_off_until_it_has_an_address(tmp_path):
    """Where we listen, ``OLLAMA_HOST``, is never taken for an upstream."""
    assert build(plugin_config(Settings(), "ollama-legacy", OllamaConfig)) is None
    assert build(read(tmp_path, OLLAMA_HOST="127.0.0.1:9999")) is None


def test_variables_of_older_programs_set_address_and_connections(tmp_path):
    """They win over the file, as all variables do."""
    config = read(
        tmp_path,
        '[plugins.ollama-legacy]\nurl = "http://a:1"\nconnections = 3\n',
        OLLAMA_URL="http://b:2",
        MAX_OLLAMA_CONNECTIONS="5",
    )
    assert (config.address, config.connections) == ("http://b:2", 5)
    assert read(tmp_path, OLLAMA_BASE_URL="http://c:3").address == "http://c:3"
    assert read(tmp_path, OLLAMA_BASE_URL="http://c:3/", OLLAMA_URL="http://c:3").address == "http://c:3"


def test_two_addresses_that_differ_are_an_error(tmp_path):
    """Nobody has to guess which one counts."""
    with pytest.raises(ConfigError, match=r"OLLAMA_URL.*OLLAMA_BASE_URL"):
        read(tmp_path, OLLAMA_URL="http://b:2", OLLAMA_BASE_URL="http://c:3")


@pytest.mark.parametrize(
    "line",
    [
        "connections = 0",
        "connections = 65",
        'url = "ftp://x"',
        'url = "http://me:secret@x"',
        "health_seconds = 0.0",
        "total_seconds = inf",
        'warm = ["1", "2", "3", "4", "5", "6"]',
        "slots = -1",
        "pull_most_bytes = 0",
        "urls = 1",
    ],
)
def test_impossible_settings_are_refused_by_name(tmp_path, line):
    """The message has the path, and no password."""
    with pytest.raises(ConfigError, match=rf"\$\.plugins\.ollama-legacy.*{line.split()[0]}") as caught:
        read(tmp_path, f"[plugins.ollama-legacy]\n{line}\n")
    assert "secret@" not in str(caught.value) or "must not hold" in str(caught.value)


def test_declaring_it_imports_no_http_library():
    """Listing plugins stays quick."""
    shown = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "[]"
    (record,) = homeport_backends()
    assert record.name == "ollama-legacy"
