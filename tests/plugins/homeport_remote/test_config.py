import subprocess
import sys

import pytest

from homeport import ConfigError
from homeport.config.loading import load_settings, plugin_config
from homeport_remote.backend import build
from homeport_remote.config import RemoteConfig

CODE = """
import sys
import homeport_remote.plugin as plugin
list(plugin.homeport_backends())
print(sorted({"aiohttp", "yarl", "msgspec"} & set(sys.modules)))
"""


def read(tmp_path, text):
    file = tmp_path / "homeport.toml"
    file.write_text(text)
    loaded = load_settings(file=file, environ={})
    return plugin_config(loaded.settings, "remote", RemoteConfig, loaded.origins)


async def test_each_server_is_a_backend_of_its_own(tmp_path):
    """None without a table, one per table."""
    assert build(RemoteConfig()) == {}
    text = """
    [plugins.remote.upstreams.lab]
    url = "https://10.0.0.5/v1"
    key_env = "LAB_KEY"
    [plugins.remote.upstreams.attic]
    url = "http://attic:11434"
    kind = "homeport"
    models = { "big" = "big:70b" }
    """
    backends = build(read(tmp_path, text))
    addresses = {name: backend.address for name, backend in backends.items()}
    for backend in backends.values():
        await backend.aclose()
    assert addresses == {"lab": "https://10.0.0.5/v1", "attic": "http://attic:11434/v1"}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "url = 3",
        'url = "nothing://x"',
        'url = "http://me:secret@x"',
        'url = "http://x"\nkind = "other"',
        'url = "http://x"\nkey_env = "sk-secret"',
        'url = "http://x"\nkey_env = "A"\nkey_file = "b"',
        'url = "http://x"\nkey = "sk-secret"',
        'url = "http://x"\nconnections = 0',
        'url = "http://x"\nslots = -1',
        'url = "http://x"\ntotal_seconds = nan',
        'url = "http://x"\nmodels = ["a"]',
    ],
)
def test_impossible_settings_are_refused_by_path(tmp_path, line):
    """The message names the server, and shows no key."""
    with pytest.raises(ConfigError, match=r"\$\.plugins\.remote\.upstreams.*lab") as caught:
        read(tmp_path, f"[plugins.remote.upstreams.lab]\n{line}\n")
    assert "sk-secret" not in str(caught.value)


def test_names_are_those_of_backends(tmp_path):
    """They stand in headers and figures."""
    with pytest.raises(ConfigError, match="lower case"):
        read(tmp_path, '[plugins.remote.upstreams."Lab 1"]\nurl = "http://x"\n')


def test_declaring_it_imports_no_http_library():
    """Listing plugins stays quick."""
    shown = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "[]"
