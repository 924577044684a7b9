import json

import pytest


def test_a_name_is_resolved_in_a_line(echo_homeport, server):
    """Without further wishes only the pair is told."""
    assert (
        echo_homeport("models", "resolve", "tinyllama").stdout
        == "tinyllama:1.1b  TinyLlama/TinyLlama-1.1B-Chat-v1.0\n"
    )


def test_a_name_is_explained(echo_homeport, server):
    """Evidence, confidence, licence, gate and memory are told."""
    told = echo_homeport("models", "resolve", "llama3.2", "--explain").stdout
    for label in ("confidence    high", "license       llama3.2", "https://huggingface.co/meta-llama"):
        assert label in told
    assert "keys and values of 4096 tokens 469 MB" in told


def test_programs_get_all_of_it(echo_homeport, server):
    """JSON holds the same facts, with exact figures."""
    told = json.loads(echo_homeport("models", "resolve", "tinyllama", "--json").stdout)
    assert told["hub"] == "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
    assert (told["gated"], told["license"], told["installed"]) == (False, "apache-2.0", False)
    assert told["memory"]["cache_bytes"] == 22 * 2 * 4 * 64 * 2 * 2048
    assert told["memory"]["fits"] in {"yes", "not now", "no"}


def test_a_model_that_is_here_is_described_by_itself(echo_homeport, server):
    """The server is asked for what it has."""
    told = json.loads(echo_homeport("models", "resolve", "echo", "--json").stdout)
    assert (told["name"], told["installed"], told["hub"]) == ("echo:latest", True, None)


def test_a_window_of_the_settings_counts(echo_homeport, server):
    """The memory is that of the window which models get here."""
    done = echo_homeport("models", "resolve", "tinyllama", "--json", OLLAMA_CONTEXT_LENGTH="1024")
    assert json.loads(done.stdout)["memory"]["window"] == 1024


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("tinylama", "no model is known as 'tinylama'", "Did you mean tinyllama"),
        ("ollama", "the name of a program", "homeport list"),
        ("ollama:latest", "the name of a program", "homeport list"),
        ("gpt-oss:120b-cloud", "runs in Ollama's cloud", "Pull a model that runs here"),
        ("qwen3:cloud", "runs in Ollama's cloud", "Did you mean qwen3"),
        ("a b", "invalid model name", ""),
    ],
)
def test_what_is_unknown_is_explained_and_not_guessed(echo_homeport, server, name, said, hint):
    """The exit code is 1, and suggestions are told where there are some."""
    done = echo_homeport("models", "resolve", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert hint in done.stderr


def test_programs_get_suggestions(echo_homeport, server):
    """An unknown name is JSON too."""
    done = echo_homeport("models", "resolve", "tinylama", "--json")
    assert done.returncode == 1
    assert "tinyllama:latest" in json.loads(done.stdout)["suggestions"]


def test_a_tier_is_resolved_to_who_serves_it(echo_homeport, serving):
    """The words of agents mean tiers; one that nobody serves is an error."""
    with serving("serve", HOMEPORT_TIERS='{"power": ["echo"]}'):
        done = echo_homeport("models", "resolve", "opus")
        assert done.stdout.startswith("opus is the tier power, served by echo/echo:latest")
        assert json.loads(echo_homeport("models", "resolve", "opus", "--json").stdout)["name"] == "power"


def test_another_models_name_is_reported(echo_homeport, server, home):
    """A model that bears a name of the table and is something else contradicts it."""
    home.mkdir(exist_ok=True)
    (home / "aliases.toml").write_text(
        '[[model]]\nollama = "echo"\ntags = ["latest"]\nhub = "me/echo"\ntask = "chat"\nparams = 1000\n'
        'context = 512\nconfidence = "low"\nfingerprint = { architecture = "parrot", layers = 1 }\n'
    )
    done = echo_homeport("models", "resolve", "echo")
    assert done.returncode == 1
    assert "has the architecture 'echo' instead of 'parrot'" in done.stderr


def test_a_server_elsewhere_that_is_away_is_not_needed(echo_homeport):
    """The table is here; what is installed there is not considered."""
    done = echo_homeport("models", "resolve", "tinyllama", OLLAMA_HOST="127.0.0.1.invalid:1")
    assert done.returncode == 0
    assert "what is installed there is not considered" in done.stderr


def test_models_list_is_list(echo_homeport, server):
    """The group has the list too."""
    assert echo_homeport("models", "list").stdout == echo_homeport("list").stdout
