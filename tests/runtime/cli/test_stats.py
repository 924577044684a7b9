import json

from homeport.cli.address import Address
from homeport.cli.client import Client


def test_the_running_server_is_shown_in_figures(serving, echo_homeport):
    """Queue, what was called and the processes, each in a table."""
    with serving("serve") as live:
        client = Client(Address.parse(live.url))
        client.ask("POST", "/api/generate", {"model": "echo", "prompt": "x", "stream": False})
        done = echo_homeport("stats")
        assert done.returncode == 0
        queue, breakers, processes = done.stdout.split("\n\n")
        assert queue.splitlines()[1].split()[:4] == ["0/512", "0", "1", "0"]
        assert breakers.splitlines()[1].split()[:4] == ["echo/echo:latest", "closed", "1", "100.0%"]
        assert processes.splitlines()[1].split()[:2] == ["host", str(live.process.pid)]
        found = json.loads(echo_homeport("stats", "--json").stdout)
        assert found["queue"]["completed"] == 1
        assert found["process"]["processes"][0]["resident_bytes"] > 0


def test_odd_answers_are_shown_harmlessly(scripted, homeport):
    """A server that answers nonsense breaks no terminal."""
    body = json.dumps(
        {"queue": {"active": "\u001b[31m"}, "models": [{"name": "\u001b]0;x"}, 5], "process": 7}
    )
    with scripted(body):
        done = homeport("stats")
    assert done.returncode == 0
    assert "\u001b" not in done.stdout


def test_without_a_server_there_are_no_figures(homeport):
    """It is said that nobody answers."""
    done = homeport("stats")
    assert done.returncode == 1
    assert "no server answers" in done.stderr
