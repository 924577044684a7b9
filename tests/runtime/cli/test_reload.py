import json
import os
import signal

import pytest

from homeport.cli.address import Address
from homeport.cli.client import AnswerError, Client


@pytest.fixture
def settings_file(tmp_path):
    """Write the settings file and give its path."""
    path = tmp_path / "homeport.toml"

    def write(text):
        path.write_text(text)
        return str(path)

    return write


def test_the_running_server_reads_its_settings_anew(serving, echo_homeport, settings_file):
    """What is in force and what needs a restart is told line by line."""
    file = settings_file("")
    with serving("--config", file, "serve"):
        settings_file(
            '[gateway]\nmax_waiting = 5\n[server]\nmax_body_bytes = 5000\n[tiers]\nfast = ["x", "x"]\n'
        )
        done = echo_homeport("--config", file, "config", "reload")
        assert done.returncode == 0
        assert done.stdout.splitlines() == [
            "gateway.max_waiting: in force now",
            "tiers.fast: in force now",
            "server.max_body_bytes: needs a restart",
        ]
        assert "Warning: $.tiers.fast[1]: 'x' is named twice (homeport.toml line 6)" in done.stderr
        assert "server.max_body_bytes: needs a restart" in echo_homeport("config", "reload").stdout


def test_wrong_settings_are_refused_with_a_line_per_fault(serving, echo_homeport, settings_file):
    """The server goes on, the command fails and says why, wherever the fault was found."""
    file = settings_file("")
    with serving("--config", file, "serve") as live:
        settings_file('[gateway]\nrouters = ["nobody"]\n')
        done = echo_homeport("--config", file, "config", "reload")
        assert done.returncode == 1
        assert done.stdout.startswith("$.gateway.routers: no plugin offers 'nobody'; known: ")
        assert "(homeport.toml line 2)" in done.stdout
        assert "Nothing has changed" in done.stderr
        settings_file("[gateway]\nmax_waitin = 5\n")
        done = echo_homeport("--config", file, "config", "reload")
        assert done.returncode == 1
        assert "unknown key 'max_waitin'; did you mean 'max_waiting'? (homeport.toml line 2)" in done.stdout
        live.await_log("the settings were not reloaded, the old ones stay in force")


def test_sighup_reads_the_settings_anew(serving, settings_file):
    """A hang-up applies a right file, names the faults of a wrong one, and never ends the server."""
    file = settings_file("")
    with serving("--config", file, "serve") as live:
        settings_file("[gateway]\nmax_waiting = 5\n")
        live.process.send_signal(signal.SIGHUP)
        live.await_log("settings reloaded; in force now: gateway.max_waiting")
        settings_file("[gateway]\nmax_waiting = -5\n")
        live.process.send_signal(signal.SIGHUP)
        live.await_log("$.gateway.max_waiting: must be at least 1, got -5 (homeport.toml line 2)")
        settings_file('[log]\nlevel = "DEBUG"\n')
        live.process.send_signal(signal.SIGHUP)
        live.await_log("log.level")
        assert Client(Address.parse(live.url)).ask("GET", "/healthz")["healthy"]
        live.await_log("/healthz")


def test_closing_the_terminal_ends_the_server(at_terminal):
    """A hang-up of the terminal that it runs in is no wish for other settings."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may ignore it
    try:
        terminal = at_terminal("serve")
    finally:
        signal.signal(signal.SIGHUP, before)
    terminal.await_text("listening on")
    terminal.hang_up()
    assert os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1]) == 0


def test_a_server_started_to_outlive_its_terminal_does(at_terminal, free_port):
    """Under nohup a hang-up is no wish to end."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        terminal = at_terminal("serve")
    finally:
        signal.signal(signal.SIGHUP, before)
    terminal.await_text("listening on")
    terminal.hang_up()
    client = Client(Address(host="127.0.0.1", port=free_port))
    for _ in range(50):
        assert client.ask("GET", "/api/version")["version"]
    os.kill(terminal.pid, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1]) == 0


def test_a_reload_needs_the_key(serving, settings_file):
    """Who may not use the server may not change it."""
    with serving("--config", settings_file(""), "serve", HOMEPORT_API_KEY="k") as live:
        with pytest.raises(AnswerError) as caught:
            Client(Address.parse(live.url)).ask("POST", "/v1/config/reload")
        assert caught.value.http_status == 401
        answer = Client(Address.parse(live.url), api_key="k").ask("POST", "/v1/config/reload")
        assert json.loads(json.dumps(answer))["status"] == "reloaded"


def test_without_a_server_there_is_nothing_to_reload(homeport):
    """It is said that nobody answers."""
    done = homeport("config", "reload")
    assert done.returncode == 1
    assert "no server answers" in done.stderr
