"""A homeport in front of others, as its users see it."""

import os
import subprocess
import sys
from contextlib import asynccontextmanager
from importlib import metadata

import aiohttp
import pytest

import homeport_ollama.plugin
import homeport_remote.plugin
from homeport import Settings
from homeport.config.settings import PluginSettings
from homeport.runtime import Runtime
from homeport.server.listener import serve

QUESTION = {"model": "echo:latest", "messages": [{"role": "user", "content": "one two"}], "stream": False}


@pytest.fixture
def front(tmp_path):
    """Open a homeport whose models are those of others."""

    @asynccontextmanager
    async def start(tables):
        settings = Settings(
            home=tmp_path / "front",
            plugins=PluginSettings(enabled=("ours", "theirs"), strict=True, tables=tables),
        )
        plugins = {"ours": homeport_ollama.plugin, "theirs": homeport_remote.plugin}
        async with (
            Runtime.open(settings, plugins=plugins) as runtime,
            serve(runtime, host="127.0.0.1", port=0) as url,
            aiohttp.ClientSession(url) as http,
        ):
            yield runtime, http

    return start


@pytest.mark.parametrize(
    ("backend", "tables"),
    [
        ("ollama-legacy", lambda url: {"ollama-legacy": {"url": url}}),
        ("remote-lab", lambda url: {"remote": {"upstreams": {"lab": {"url": url}}}}),
        ("remote-lab", lambda url: {"remote": {"upstreams": {"lab": {"url": url, "kind": "homeport"}}}}),
    ],
)
async def test_models_of_others_answer_as_our_own(front, open_homeport, backend, tables):
    """They are listed, answer in both dialects, and the route tells who served."""
    async with front(tables(open_homeport)) as (runtime, http):
        async with http.get("/api/tags") as response:
            assert [model["name"] for model in (await response.json())["models"]] == ["echo:latest"]
        async with http.post("/api/chat", json=QUESTION) as response:
            assert (await response.json())["message"]["content"] == "one two"
            assert f"backend={backend};" in response.headers["x-homeport-route"]
        async with http.post("/v1/chat/completions", json=QUESTION | {"stream": True}) as response:
            assert (await response.text()).endswith("data: [DONE]\n\n")
        assert runtime.backends[backend].stats()["total_requests"] >= 2


async def test_backends_that_are_not_configured_are_not_there(front):
    """Both plugins are off until they are told of a server."""
    async with front({}) as (runtime, _):
        assert not any(name.startswith(("ollama", "remote")) for name in runtime.backends)


def test_upstream_that_is_our_own_listener_ends_the_start(tmp_path):
    """``homeport serve`` ends with the code of refused settings, and says how to mend them."""
    if "remote" not in metadata.entry_points(group="homeport.plugins").names:
        pytest.skip("homeport was installed before it had this plugin: install it again")
    file = tmp_path / "homeport.toml"
    file.write_text('[plugins.remote.upstreams.me]\nurl = "http://localhost:18764"\n')
    ended = subprocess.run(
        [sys.executable, "-m", "homeport", "serve", "--port", "18764"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "HOMEPORT_HOME": str(tmp_path), "HOMEPORT_CONFIG": str(file)},
    )
    assert ended.returncode == 2, ended.stderr
    assert "where this homeport listens" in ended.stderr
