import json

import pytest


@pytest.fixture
def talk(at_terminal, server):
    """A talk with a model that thinks first, and repeats what it heard."""
    terminal = at_terminal("run", "ponder", "--hidethinking")
    assert "Send a message (/? for help)\n" in terminal.await_text(">>> ")
    return terminal


def say(talk, *lines):
    """Type lines and give what came back for the last."""
    shown = ""
    for line in lines:
        talk.type(line)
        shown = talk.await_text(">>> ")
    return shown


def leave(talk):
    talk.type("/bye")
    return talk.exit_code()


def test_a_talk_remembers_what_was_said(talk):
    """The second question comes with the first and its answer."""
    say(talk, "one")
    assert "free user:one assistant:free user:one user:two\n" in say(talk, "two")
    say(talk, "/clear")
    assert "\nfree user:three\n" in say(talk, "three")
    assert leave(talk) == 0


def test_a_system_text_may_have_several_lines(talk):
    """Three quotes hold it together, and /show system shows it."""
    talk.type('/set system """Be brief.')
    talk.await_text("... ")
    assert "Set system message." in say(talk, 'Say little."""')
    assert "free system:Be brief.\nSay little. user:hi\n" in say(talk, "hi")
    assert "Be brief.\nSay little.\n" in say(talk, "/show system")
    leave(talk)


def test_commands(talk):
    """Every command says what it did, or how it is used."""
    for typed, told in [
        ("/set parameter temperature 0", "Set parameter 'temperature' to '0'."),
        ("/set parameter temperature", "left to the model"),
        ("/set parameter", "Usage: /set parameter NAME VALUE"),
        ("/set parameter foo 1", "Couldn't set parameter: unknown parameter 'foo'; known: draft_num"),
        ("/set parameter temperature abc", "parameter temperature must be a number, got 'abc'"),
        ("/set parameter temperature -1", "got '-1'"),
        ("/set parameter top_p 3", "got '3'"),
        ("/set parameter seed 1.5", "parameter seed must be an integer, got '1.5'"),
        ("/set parameter top_k 1.5", "Couldn't set parameter: parameter top_k must be an integer, got '1.5'"),
        ("/set parameter tfs_z 1", "Couldn't set parameter: parameter tfs_z is deprecated"),
        ("/set parameter stop true 5", "Set parameter 'stop' to 'true 5'."),
        ("/set format json", "Set format to 'json'."),
        ("/show parameters", 'stop                           "true"\nstop                           "5"\n'),
        ("/set format xml", "Error: expected json"),
        ("/set format @nofile", "Error: cannot read the JSON Schema 'nofile'"),
        ('/set format {"type": "strng"}', "Error: "),
        ("/set noformat", "Disabled format."),
        ("/set think", "Set 'think' mode."),
        ("/set think high", "Set 'think' to 'high'."),
        ("/set think hard", "Error: expected true, false, low"),
        ("/set nothink", "Set 'nothink' mode."),
        ("/set verbose", "Set 'verbose' mode."),
        ("/set quiet", "Set 'quiet' mode."),
        ("/set wordwrap", "Set 'wordwrap' mode."),
        ("/set nowordwrap", "Set 'nowordwrap' mode."),
        ("/set nohistory", "Set 'nohistory' mode."),
        ("/set history", "Set 'history' mode."),
        ("/set", "Usage: /set ..."),
        ("/set speed 3", "Usage: /set ..."),
        ("/? set", "wordwrap | nowordwrap"),
        ("/? show", "Usage: /show [PART]"),
        ("/? shortcuts", "Ctrl-R"),
        ("/help", "/? shortcuts"),
        ("/show info", "Capabilities"),
        ("/show modelfile", "FROM ponder:latest"),
        ("/show license", "The model has no license."),
        ("/show nonsense", "Usage: /show [PART]"),
        ("/save", "Usage: /save MODEL"),
        ("/load", "Usage: /load MODEL"),
        ("/set think", "Set 'think' mode."),
        ("/load echo", "Now talking to 'echo'. It does not think, so 'think' is no longer set."),
        ("/set think", "Error: 'echo' does not think"),
        ("/set nothink", "Set 'nothink' mode."),
        ("/nonsense", "Unknown command '/nonsense'"),
    ]:
        assert told in say(talk, typed)
    assert leave(talk) == 0


def test_what_is_refused_changes_nothing(talk):
    """The value from before stays, and the next question is answered."""
    say(talk, "/set parameter seed 7", "/set format json")
    say(talk, "/set parameter seed 1.5", "/set parameter seeed 8", '/set format {"type": "strng"}')
    assert "Set in this talk:\nseed                           7\n>" in say(talk, "/show parameters") + ">"
    assert "json_object user:one" in say(talk, "one")
    leave(talk)


def test_forms_and_thoughts_are_set_for_what_follows(talk):
    """The next answer heeds them."""
    say(talk, "/set format json")
    assert "json_object user:one" in say(talk, "one")
    say(talk, "/set noformat", "/clear")
    assert "\nfree user:two" in say(talk, "two")
    leave(talk)


def test_lines_are_remembered_for_the_next_talk(talk, at_terminal, home):
    """They stand in the state folder, and the arrow keys bring them back."""
    say(talk, "first question", "/set nohistory", "secret")
    leave(talk)
    assert (home / "state" / "history").read_text() == "first question\n/set nohistory\n"
    again = at_terminal("run", "ponder", TERM="xterm-256color")
    again.await_text(">>> ")
    again.press("P")
    again.press("P")
    again.type("")
    again.await_text("user:first question")
    again.type("/bye")
    assert again.exit_code() == 0


def test_a_variable_of_ollama_keeps_lines_out_of_the_file(at_terminal, server, home):
    """OLLAMA_NOHISTORY is heeded."""
    talk = at_terminal("run", "ponder", OLLAMA_NOHISTORY="1")
    talk.await_text(">>> ")
    say(talk, "secret")
    leave(talk)
    assert not (home / "state" / "history").exists()


def test_a_talk_is_saved_as_a_model(at_terminal, serving, echo_homeport, tiny_model):
    """The new model has the parameters, the system text, and what was said."""
    with serving("serve"):
        talk = at_terminal("run", "tiny")
        talk.await_text(">>> ")
        say(talk, "/set parameter num_predict 2", "/set system Be brief", "hello")
        assert "Created new model 'kept'." in say(talk, "/save kept")
        assert "Error: " in say(talk, "/save a/b/c/d")
        say(talk, "/load kept", "again", "/save more")
        assert leave(talk) == 0
        kept = json.loads(echo_homeport("show", "kept", "--json").stdout)
        more = json.loads(echo_homeport("show", "more", "--json").stdout)
    assert (kept["system"], kept["parameters"].split()) == ("Be brief", ["num_predict", "2"])
    assert [message["role"] for message in kept["messages"]] == ["user", "assistant"]
    assert [message["content"] for message in more["messages"][::2]] == ["hello", "again"]
