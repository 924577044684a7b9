import json


def test_breakers_are_listed_and_overridden(echo_homeport, server):
    """A model is taken out, shown so, and let in again; each command prints how it is."""
    assert echo_homeport("breakers").stdout.split() == [
        "BACKEND", "MODEL", "STATE", "CALLS", "FAILED", "IN", "A", "ROW", "OPENED", "RETRY", "IN",
    ]  # fmt: skip
    opened = echo_homeport("breakers", "open", "echo", "echo")
    assert opened.stdout.splitlines()[1].split() == [
        "echo",
        "echo:latest",
        "forced",
        "open",
        "0",
        "0",
        "0",
        "0",
        "-",
    ]
    (breaker,) = json.loads(echo_homeport("breakers", "--json").stdout)["breakers"]
    assert (breaker["state"], breaker["is_forced"]) == ("open", True)
    reset = echo_homeport("breakers", "reset", "echo", "echo:latest")
    assert reset.stdout.splitlines()[1].split() == ["echo", "echo:latest", "closed", "0", "0", "0", "0", "-"]


def test_an_unknown_target_exits_1_and_names_it(echo_homeport, server):
    """What the server refuses is told."""
    done = echo_homeport("breakers", "open", "echo", "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'Error: backend "echo" has no model "nobody"' in done.stderr


def test_without_a_server_there_is_nothing_to_show(echo_homeport):
    """Breakers live in a running server."""
    done = echo_homeport("breakers")
    assert done.returncode == 1
    assert "no server answers" in done.stderr
