"""``homeport keys``, and what a key does for the other verbs."""

import json

import pytest

from homeport.cli.address import Address
from homeport.cli.client import AnswerError, Client


def test_a_key_is_printed_once_and_alone(homeport):
    """A script takes it from standard output; what is to be said besides goes elsewhere."""
    made = homeport("keys", "create", "laptop")
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    assert key.startswith("hp-")
    assert "cannot be shown again" in made.stderr
    listed = homeport("keys", "list")
    assert key not in listed.stdout
    assert "laptop" in listed.stdout
    assert f"…{key[-4:]}" in listed.stdout


def test_scopes_are_chosen_and_shown(homeport):
    """Without a choice a key is for asking models."""
    made = json.loads(
        homeport("keys", "create", "g", "--scope", "monitor", "--scope", "infer", "--json").stdout
    )
    assert made["scopes"] == ["infer", "monitor"]
    homeport("keys", "create", "plain")
    listed = json.loads(homeport("keys", "list", "--json").stdout)["keys"]
    assert [(row["name"], row["scopes"]) for row in listed] == [
        ("g", ["infer", "monitor"]),
        ("plain", ["infer"]),
    ]
    assert set(listed[0]) == {"name", "scopes", "created_at", "hint"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("create", "a b"), "cannot be the name of a key"),
        (("create", "x", "--scope", "public"), "public"),
        (("revoke", "nobody"), "there is no key 'nobody'"),
        (("create",), "NAME"),
    ],
)
def test_a_wrong_command_is_refused(homeport, arguments, complaint):
    """Exit code 2, and what is wrong."""
    done = homeport("keys", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_the_first_key_says_what_it_changes(homeport):
    """A server that was open is no longer; a second key, or one beside the settings' key, changes nothing."""
    said = "every client of this server needs a key"
    assert said not in homeport("keys", "create", "zero", HOMEPORT_API_KEY="k-1").stderr
    homeport("keys", "revoke", "zero")
    first = homeport("keys", "create", "laptop")
    assert said in first.stderr
    assert "--scope admin" in first.stderr
    assert said not in homeport("keys", "create", "tablet").stderr
    homeport("keys", "revoke", "laptop")
    homeport("keys", "revoke", "tablet")
    admin = homeport("keys", "create", "desk", "--scope", "admin", "--json")
    assert said in admin.stderr
    assert "--scope admin" not in admin.stderr
    assert "admin" in json.loads(admin.stdout)["scopes"]


def test_a_damaged_file_is_told(homeport, home):
    """No verb takes it for an empty one, and no server starts with it."""
    home.mkdir()
    (home / "keys.json").write_text("{")
    for arguments in (("keys", "list"), ("keys", "create", "a"), ("serve", "--port", "0")):
        done = homeport(*arguments)
        assert done.returncode == 2, done.stderr
        assert "cannot be used" in done.stderr


def test_a_running_server_notices(serving, echo_homeport):
    """A key works as soon as it is made, and no longer than until it is revoked."""
    with serving("serve", "--port", "0") as live:
        address = Address.parse(live.url)
        assert Client(address).ask("GET", "/api/tags")
        key = echo_homeport("keys", "create", "laptop").stdout.strip()
        with pytest.raises(AnswerError, match="unauthorized"):
            Client(address).ask("GET", "/api/tags")
        assert Client(address, api_key=key).ask("GET", "/api/tags")
        assert echo_homeport("keys", "revoke", "laptop").returncode == 0
        with pytest.raises(AnswerError, match="unauthorized"):
            Client(address, api_key=key).ask("GET", "/api/tags")


def test_an_open_address_is_served_to_those_who_have_a_key(serving, echo_homeport):
    """A key of the file opens it like one of the settings."""
    key = echo_homeport("keys", "create", "laptop").stdout.strip()
    with serving("serve", "--host", "0.0.0.0", "--port", "0") as live:
        address = Address(host="127.0.0.1", port=Address.parse(live.url).port)
        assert Client(address, api_key=key).ask("GET", "/api/tags")
        with pytest.raises(AnswerError, match="unauthorized"):
            Client(address).ask("GET", "/api/tags")


@pytest.mark.parametrize("variable", ["HOMEPORT_API_KEY", "OLLAMA_API_KEY"])
def test_the_command_line_sends_its_key(serving, echo_homeport, variable):
    """Both variables are understood; a wrong one is told with a way out, a weak one with what it lacks."""
    key = echo_homeport("keys", "create", "laptop").stdout.strip()
    with serving("serve") as live:
        del live
        assert "echo" in echo_homeport("list", **{variable: key}).stdout
        wrong = echo_homeport("list", **{variable: "hp-wrong"})
        assert (wrong.returncode, "HOMEPORT_API_KEY" in wrong.stderr) == (1, True)
        weak = echo_homeport("breakers", **{variable: key})
        assert weak.returncode == 1
        assert "scope admin" in weak.stderr


def test_a_server_of_ones_own_lets_one_in(echo_homeport):
    """Where keys were made, a command that starts a server for itself needs none of them."""
    echo_homeport("keys", "create", "laptop")
    done = echo_homeport("list")
    assert done.returncode == 0, done.stderr
    assert "echo" in done.stdout
