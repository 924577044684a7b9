import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest

END_TIMEOUT_SECONDS = 30


@contextmanager
def running(environment, *arguments):
    """A command line in a process of its own, its output piped."""
    with subprocess.Popen(
        [sys.executable, "-m", "homeport", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def own_server_of(process):
    """Find the one server that a command started."""
    (child,) = psutil.Process(process.pid).children()
    assert "serve" in child.cmdline()
    return child


def test_an_answer_is_printed(echo_homeport, server):
    """A running server is asked, nothing else is printed."""
    done = echo_homeport("run", "echo", "hello", "world")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello world\n", "")


def test_without_a_server_the_command_brings_its_own(echo_homeport, home):
    """The answer is the same, and the log stands in the home."""
    done = echo_homeport("run", "echo", "hello")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")
    assert "stopped" in (home / "logs" / "own-server.log").read_text()


def test_the_own_server_takes_the_same_flags(echo_homeport, tmp_path):
    """Global options hold for the server that is started too."""
    done = echo_homeport("--home", str(tmp_path / "other"), "-p", "no:echo", "run", "echo", "hello")
    assert done.returncode == 1
    assert (tmp_path / "other" / "logs" / "own-server.log").is_file()


def test_the_own_servers_log_is_shown_when_asked_for(echo_homeport, home):
    """--log-level DEBUG puts the log on standard error instead."""
    assert "listening on" in echo_homeport("--log-level", "DEBUG", "run", "echo", "hello").stderr
    assert not (home / "logs").exists()


def test_an_own_server_that_does_not_start_says_why(echo_homeport):
    """The end of its log is quoted."""
    done = echo_homeport("run", "echo", "hello", HOMEPORT_GATEWAY_ROUTERS="nobody")
    assert done.returncode == 2
    assert "the server did not start (exit code 2)" in done.stderr
    assert "no plugin offers 'nobody'" in done.stderr


def test_another_machines_server_is_not_replaced(echo_homeport):
    """Where the settings name an address elsewhere, nobody answers for it."""
    done = echo_homeport("run", "echo", "hello", OLLAMA_HOST="127.0.0.1.invalid:1")
    assert done.returncode == 1
    assert "no server answers at http://127.0.0.1.invalid:1" in done.stderr


def test_the_own_server_imports_nothing_from_the_working_folder(echo_environment, tmp_path):
    """A file that lies about where the command is run is not taken for a library."""
    (tmp_path / "aiohttp.py").write_text("raise SystemExit('taken from the working folder')\n")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "homeport", "run", "echo", "hello"],
        env=echo_environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("hello\n", "")


def test_an_answer_at_a_terminal_follows_the_spinner(at_terminal, server):
    """What turns while the model is at work leaves room for the answer."""
    terminal = at_terminal("run", "echo", "good morning", TERM="xterm-256color")
    terminal.await_text("good morning")
    assert terminal.exit_code() == 0


def test_an_answer_cannot_steer_the_terminal(echo_homeport, server):
    """Escapes that a model writes are dropped."""
    assert echo_homeport("run", "echo", "red\x1b[31m").stdout == "red[31m\n"


def test_piped_input_goes_before_the_prompt(echo_homeport, server):
    """A file is piped in, the question about it typed."""
    assert echo_homeport("run", "echo", "summarise", stdin="the text\n").stdout == "the text summarise\n"


def test_bytes_that_are_no_utf_8_are_replaced(echo_environment, server):
    """Odd bytes of a pipe or an argument cost one character each, not the whole question."""
    done = subprocess.run(
        [sys.executable, "-m", "homeport", "run", "echo", b"Caf\xe9:"],
        env=echo_environment,
        input=b"na\xefve\n",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == "na\ufffdve Caf\ufffd:\n"


def test_an_empty_prompt_brings_the_model_into_memory(echo_homeport, server):
    """Without a terminal too, where cron warms a model up."""
    done = echo_homeport("run", "echo", "", stdin="")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_nothing_to_ask_is_a_usage_error(echo_homeport, server):
    """An empty pipe and no prompt is a mistake."""
    assert echo_homeport("run", "echo", stdin="").returncode == 2


def test_sampling_options_reach_the_model(echo_homeport, server):
    """--num-predict bounds the answer."""
    assert echo_homeport("run", "--num-predict", "2", "echo", "one two three").stdout == "one two\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--temperature", "-1"), "not in the range x>=0"),
        (("--seed", "x"), "not a valid integer"),
        (("--num-predict", "-5"), "not in the range x>=-2"),
        (("--keepalive", "3parsecs"), 'unknown unit "parsecs"'),
        (("--keepalive", "nan"), 'invalid duration "nan"'),
        (("--keepalive", "1e999"), "in duration"),
    ],
)
def test_a_wrong_option_is_a_usage_error(echo_homeport, options, said):
    """What cannot be meant is refused before a server is asked."""
    done = echo_homeport("run", *options, "echo", "hello")
    assert done.returncode == 2
    assert said in done.stderr


def test_timings_follow_on_standard_error(echo_homeport, server):
    """--verbose adds Ollama's lines and leaves the answer alone."""
    done = echo_homeport("run", "--verbose", "echo", "one two")
    assert done.stdout == "one two\n"
    assert "prompt eval count:    2 token(s)" in done.stderr
    assert "eval count:           2 token(s)" in done.stderr


def test_a_failure_within_the_answer_keeps_what_was_said(echo_homeport, server):
    """The words before the error are printed, the error has its own line."""
    done = echo_homeport("run", "echo", "one !fail two")
    assert (done.returncode, done.stdout) == (1, "one\n")
    assert done.stderr == "Error: an error was encountered while running the model\n"


def test_a_model_that_is_not_there_is_pulled(echo_homeport, server):
    """An unknown name leads to a pull, whose failure names the nearest models."""
    done = echo_homeport("run", "ecko", "hello")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "pulling manifest"
    assert "Did you mean echo:latest?" in done.stderr


def test_ctrl_c_stops_the_answer_and_the_own_server(echo_environment, gate):
    """An interrupt exits 130 and leaves no server behind."""
    with running(echo_environment, "run", "gate", gate.path) as process, gate.await_visitor():
        child = own_server_of(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(END_TIMEOUT_SECONDS) == 130
        child.wait(END_TIMEOUT_SECONDS)


def test_a_killed_command_leaves_no_server(echo_environment, gate):
    """kill -9 in the midst of an answer takes the own server along."""
    with running(echo_environment, "run", "gate", gate.path) as process, gate.await_visitor():
        child = own_server_of(process)
        process.kill()
        child.wait(END_TIMEOUT_SECONDS)
        assert not child.is_running()


@pytest.fixture
def talk(at_terminal, server):
    """A talk with the echo model."""
    return at_terminal("run", "echo")


def test_a_talk_answers_line_by_line(talk):
    """Each line is answered, several lines between three quotes are one, /bye leaves."""
    talk.await_text(">>> ")
    talk.type("good morning")
    assert "good morning\ngood morning\n" in talk.await_text(">>> ")
    talk.type('"""first')
    talk.await_text("... ")
    talk.type('second"""')
    assert "first second\n" in talk.await_text(">>> ")
    talk.type("/bye")
    assert talk.exit_code() == 0


def test_commands_change_the_talk(talk):
    """Options, timings and the description are at hand without leaving."""
    talk.await_text(">>> ")
    for typed, seen in [
        ("/set parameter num_predict 1", ""),
        ("/set verbose", ""),
        ("one two", "one\n"),
        ("/show", "architecture        echo"),
        ("/?", "/bye"),
        ("/nonsense", "Unknown command '/nonsense'"),
        ("/set", "Usage: /set"),
        ("/load nobody", "Error: "),
        ("/clear", "forgotten"),
    ]:
        talk.type(typed)
        assert seen in talk.await_text(">>> ")
    talk.press("D")
    assert talk.exit_code() == 0


def test_ctrl_c_stops_an_answer_but_not_the_talk(at_terminal, server, gate):
    """An answer that takes too long is left, and the next question is asked."""
    talk = at_terminal("run", "gate")
    talk.await_text(">>> ")
    talk.type(f"wait at {gate.path}")
    with gate.await_visitor():
        talk.await_text("before")
        talk.press("C")
        talk.await_text(">>> ")
    talk.press_until("C", "Use Ctrl-D or /bye to leave.")
    talk.type("/bye")
    assert talk.exit_code() == 0


def test_a_damaged_model_is_refused_with_the_command_that_mends_it(echo_homeport, damaged_model):
    """One flipped byte is found when the model is loaded, and the reader knows what to run."""
    done = echo_homeport("run", damaged_model, "hello")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: the model could not be loaded",
        f"fetch it again with: homeport pull {damaged_model} --force",
    ]


WAITING_BUILDER = """
import os
from pathlib import Path

from homeport import BackendKind, BackendSpec, BuildReport, hookimpl


class Waiter:
    version = 1

    def build(self, source, into, plan, progress):
        progress(50, 100)
        Path(os.environ["GATE"]).read_text()
        return BuildReport(weights="int8")


class Plugin:
    @hookimpl
    def homeport_backends(self):
        yield BackendSpec(
            name="waiter",
            kind=BackendKind.LOCAL,
            factory="homeport.testing.tiny_model:ChecksumModel",
            builder="echo_plugin:Waiter",
        )


plugin = Plugin()
"""


@pytest.mark.usefixtures("tiny_model")
def test_a_build_is_told_while_the_first_answer_waits_for_it(echo_environment, tmp_path):
    """Standard error has that it is made, for whom, and how far it is."""
    (tmp_path / "site" / "echo_plugin.py").write_text(WAITING_BUILDER)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with running({**echo_environment, "GATE": str(gate)}, "run", "tiny", "hello") as process:
        told = [process.stderr.readline() for _ in range(3)]
        gate.write_text("open")
        answer, _ = process.communicate(timeout=END_TIMEOUT_SECONDS)
    assert told == [
        "tiny is built for waiter first, which happens once.\n",
        "building for waiter\n",
        "  50% of 100 B\n",
    ]
    assert (process.returncode, bool(answer.strip())) == (0, True)
