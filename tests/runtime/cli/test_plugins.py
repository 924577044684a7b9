import json

import pytest


def test_json_names_every_plugin_with_its_distribution_and_status(echo_homeport):
    """A program can read which plugins there are and why one does not run."""
    found = {
        entry["name"]: entry for entry in json.loads(echo_homeport("plugins", "--json").stdout)["plugins"]
    }
    assert found["echo"] == {
        "name": "echo",
        "distribution": "parrot-echo",
        "version": "1.5",
        "status": "active",
        "cause": "",
        "provides": [
            "backends:echo",
            "backends:ponder",
            "backends:vector",
            "backends:gate",
            "commands:greet",
        ],
        "missing": [],
    }
    assert found["transformers-cpu"]["status"] == "blocked"


def test_a_flag_blocks_a_plugin_besides_those_that_the_settings_block(echo_homeport):
    """-p adds to HOMEPORT_DISABLED_PLUGINS, it does not replace it."""
    done = echo_homeport("-p", "no:echo", "plugins", "--json")
    found = {entry["name"]: entry["status"] for entry in json.loads(done.stdout)["plugins"]}
    assert [found[name] for name in ("echo", "transformers-cpu", "model-sources")] == ["blocked"] * 3


def test_a_broken_plugin_is_listed_with_its_cause(echo_homeport, tmp_path):
    """The reason stands below the table, and nothing else goes wrong."""
    (tmp_path / "site" / "echo_plugin.py").write_text("import a_module_that_is_not_there\n")
    done = echo_homeport("plugins")
    assert (done.returncode, done.stderr) == (0, "")
    row = next(line.split() for line in done.stdout.splitlines() if line.startswith("echo "))
    assert row == ["echo", "parrot-echo", "1.5", "failed", "-"]
    assert "echo: ModuleNotFoundError: No module named 'a_module_that_is_not_there'" in done.stdout


def test_verbs_of_plugins_are_listed_with_their_summaries(echo_homeport):
    """What a plugin adds to the command line can be found without calling it."""
    assert "homeport greet: Greet somebody" in echo_homeport("plugins").stdout
    assert json.loads(echo_homeport("plugins", "--json").stdout)["verbs"]["greet"] == "Greet somebody"


@pytest.mark.parametrize("name", ["run", "ls"])
@pytest.mark.parametrize("verb", ["plugins", "greet"])
def test_a_verb_named_like_a_built_in_one_is_refused(echo_homeport, tmp_path, name, verb):
    """It would never be called; the message says whose it is and how to block it."""
    file = tmp_path / "site" / "echo_plugin.py"
    file.write_text(file.read_text().replace('name="greet"', f'name="{name}"'))
    done = echo_homeport(verb)
    assert done.returncode == 1
    assert f"the verb '{name}' of plugin 'echo' (parrot-echo 1.5)" in done.stderr
    assert "-p no:echo" in done.stderr
