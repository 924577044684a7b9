import json

import pytest

STEPS = (
    {"status": "pulling manifest"},
    {"status": "pulling abcdefabcdef", "digest": "sha256:ab", "total": 2000, "completed": 0},
    {"status": "pulling abcdefabcdef", "digest": "sha256:ab", "total": 2000, "completed": 2000},
    {"status": "writing manifest"},
    {"status": "success"},
)


def lines(*steps):
    return "".join(f"{json.dumps(step)}\n" for step in steps)


def test_a_pull_is_told_in_lines_where_there_is_no_terminal(homeport, scripted):
    """A log gets each status once, and standard output stays free."""
    with scripted(lines(*STEPS)) as (server, _):
        done = homeport("pull", "m")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "pulling manifest",
        "pulling abcdefabcdef",
        "  100% of 2 KB",
        "writing manifest",
        "success",
    ]
    assert json.loads(server.seen[-1][3]) == {"model": "m", "force": False}


def test_a_pull_is_drawn_at_a_terminal(at_terminal, scripted):
    """A bar shows how far a file is, statuses stand above it."""
    with scripted(lines(*STEPS)):
        terminal = at_terminal("pull", "m")
        assert "pulling manifest" in terminal.await_text("success")
        assert "2.0/2.0 kB" in terminal.await_text("0:00:00")
        assert terminal.exit_code() == 0


def test_no_colour_is_drawn_where_none_is_wanted(at_terminal, scripted):
    """NO_COLOR is respected at a terminal that could."""
    with scripted(lines(*STEPS)):
        terminal = at_terminal("pull", "m", TERM="xterm-256color", NO_COLOR="1")
        assert "\x1b[3" not in terminal.await_text("0:00:00")
        assert terminal.exit_code() == 0


def test_a_program_gets_each_step_as_json(homeport, scripted):
    """--json passes on what the server says, a line each; --force reaches it."""
    with scripted(lines(*STEPS)) as (server, _):
        done = homeport("pull", "--json", "--force", "m")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [*STEPS]
    assert json.loads(server.seen[-1][3])["force"] is True


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_quantisation_reaches_the_server(homeport, scripted, options):
    """--quant is passed on, and only where it was given."""
    with scripted(lines(*STEPS)) as (server, _):
        done = homeport("pull", *options, "--quant", "int8", "m")
    assert done.returncode == 0
    assert json.loads(server.seen[-1][3]) == {"model": "m", "force": False, "quant": "int8"}


def test_unknown_quantisation_is_a_wrong_command_line(homeport):
    """The choices are listed before any server is asked."""
    done = homeport("pull", "--quant", "q4_k_m", "m")
    assert done.returncode == 2
    assert all(choice in done.stderr for choice in ("auto", "int4", "int8", "bf16", "fp32"))


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_pull_that_breaks_off_is_a_failure(homeport, scripted, options):
    """Without the last line nothing was installed."""
    with scripted(lines(*STEPS[:3])):
        done = homeport("pull", *options, "m")
    assert done.returncode == 1
    assert "broke off the pull after 'pulling abcdefabcdef'" in done.stderr
    assert "Pull again" in done.stderr


def test_a_failed_pull_passes_the_servers_hint_on(homeport, scripted):
    """The way to mend it comes from whoever knows it."""
    with scripted(lines(STEPS[0], {"error": "needs 9 GB of disk", "hint": "homeport rm NAME"})):
        done = homeport("pull", "m")
    assert done.returncode == 1
    assert done.stderr == "pulling manifest\nError: needs 9 GB of disk\nhomeport rm NAME\n"
