import json

from homeport.cli.route import explanation


def test_explanation_says_who_and_why(echo_homeport, server):
    """The choice comes first, with its reason; the candidates stand below in columns."""
    done = echo_homeport("route", "explain", "--model", "echo", "--seed", "7", "hello")
    lines = done.stdout.splitlines()
    assert lines[0] == "echo/echo:latest  (reason: only, seed: 7)"
    assert lines[2].split()[:3] == ["CANDIDATE", "LATENCY", "SUCCESS"]
    assert lines[3].split()[:5] == ["echo/echo:latest", "-", "100%", "0+0", "of"]


def test_json_is_what_the_server_said(echo_homeport, server):
    """A program gets the whole record, and an equal seed gives an equal one."""
    arguments = ("route", "explain", "--json", "--model", "fast", "--seed", "3", "--local-only", "hello")
    first = echo_homeport(*arguments).stdout
    assert json.loads(first)["chosen"] == {"backend": "echo", "model": "echo:latest"}
    assert json.loads(first)["tier"] == "fast"
    assert echo_homeport(*arguments).stdout == first


def test_list_names_who_serves_each_name(echo_homeport, server):
    """Tiers and the free choice stand below their headers; what nobody serves is said."""
    header, *rows = echo_homeport("route", "list").stdout.splitlines()
    assert header.split() == ["NAME", "KIND", "SERVED", "BY", "THEN"]
    served = {row.split()[0]: row.split()[1:3] for row in rows}
    assert served["balanced"] == ["tier", "echo/echo:latest"]
    assert served["remote"] == ["tier", "nobody"]
    assert served["auto"] == ["choice", "echo/echo:latest"]
    assert len(json.loads(echo_homeport("route", "list", "--json").stdout)["data"]) == len(rows)


def test_unknown_model_exits_1_with_the_servers_words(echo_homeport, server):
    """A name that nobody offers fails as everywhere."""
    done = echo_homeport("route", "explain", "--model", "nobody", "hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: model 'nobody' not found")


def test_refusals_steps_and_fallbacks_are_laid_out():
    """Whatever the record holds is told in a few lines, harmless and without a trace of what is missing."""
    answer = {
        "model": "fast",
        "chosen": None,
        "refusals": [{"backend": "b", "model": "m\x1b[31m", "reason": "no room", "passes": True}],
        "steps": [
            {"name": "load", "order": [{"backend": "b", "model": "n", "note": "idle"}], "failure": ""},
            {"name": "cost", "order": [], "failure": "ValueError"},
        ],
        "fallbacks": [{"backend": "b", "model": "f"}],
        "shadow": {"backend": "b", "model": "s"},
        "candidates": "nonsense",
    }
    assert "\n".join(explanation(answer)).splitlines() == [
        "nobody can serve 'fast' now",
        "",
        "Steps",
        "  load: b/n (idle)",
        "  cost: failed with ValueError, passed over",
        "",
        "Refused",
        "  b/m[31m: no room (for now)",
        "",
        "Asked next",
        "  when they fail: b/f",
        "  beside, as a shadow: b/s",
    ]
