import os
import signal
import socket
from pathlib import Path

import psutil
import pytest

from homeport.cli.address import Address
from homeport.cli.client import AnswerError, Client
from homeport.worker.cores import usable_cores

END_TIMEOUT_SECONDS = 30


def client_of(server, **options):
    return Client(Address.parse(server.url), **options)


def ask_gate(client, gate):
    """Stream from the gate model."""
    return client.stream("/api/generate", {"model": "gate", "prompt": gate.path})


@pytest.mark.parametrize("verb", ["serve", "start"])
def test_a_server_answers_until_it_is_stopped(serving, verb):
    """It announces where it listens, answers there, and ends well on SIGTERM."""
    with serving(verb, "--port", "0") as live:
        assert client_of(live).ask("GET", "/api/version")["version"]
        live.process.send_signal(signal.SIGTERM)
        assert live.process.wait(END_TIMEOUT_SECONDS) == 0


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_running_answer_is_finished_before_the_end(serving, gate, ending):
    """A signal lets a stream run to its last chunk."""
    with serving("serve") as live, ask_gate(client_of(live), gate) as chunks:
        visitor = gate.await_visitor()
        assert next(chunks)["response"] == "before"
        live.process.send_signal(ending)
        live.await_log("stopping")
        visitor.close()
        *_, last = chunks
        assert last["done_reason"] == "stop"
        assert live.process.wait(END_TIMEOUT_SECONDS) == 0


def test_work_is_taken_for_a_while_after_a_sigterm(serving):
    """Balancers see at once that it stops, and what they still send is served."""
    with serving("serve") as live:
        client = client_of(live)
        live.process.send_signal(signal.SIGTERM)
        live.await_log("stopping")
        with pytest.raises(AnswerError):
            client.ask("GET", "/readyz")
        body = {"model": "echo", "prompt": "a", "stream": False}
        assert client.ask("POST", "/api/generate", body)["response"] == "a"
        assert live.process.wait(END_TIMEOUT_SECONDS) == 0


def test_a_second_signal_ends_at_once(serving, gate):
    """Whoever insists does not wait for running answers."""
    with serving("serve") as live, ask_gate(client_of(live), gate) as chunks, gate.await_visitor():
        next(chunks)
        live.process.send_signal(signal.SIGTERM)
        live.await_log("stopping")
        live.process.send_signal(signal.SIGTERM)
        assert live.process.wait(END_TIMEOUT_SECONDS) == 128 + signal.SIGTERM
        assert not any(chunk["done"] for chunk in chunks)


def test_a_server_leaves_with_its_parent(serving):
    """When the parent's end of the socket closes, the server stops in good order."""
    with serving("serve") as live:
        live.lifeline.close()
        assert live.process.wait(END_TIMEOUT_SECONDS) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", ":0", "[::]:0"])
def test_an_open_address_without_a_key_is_refused(echo_homeport, host):
    """Nobody opens their machine by accident."""
    done = echo_homeport("serve", OLLAMA_HOST=host)
    assert done.returncode == 2
    assert "without an API key" in done.stderr
    assert "HOMEPORT_API_KEY" in done.stderr


def test_an_open_address_with_a_key_serves_those_who_have_it(serving):
    """A key is enough to listen everywhere."""
    with serving("serve", "--host", "0.0.0.0", "--port", "0", HOMEPORT_API_KEY="k-1") as live:
        port = Address.parse(live.url).port
        assert Client(Address(host="127.0.0.1", port=port), api_key="k-1").ask("GET", "/api/tags")
        with pytest.raises(AnswerError, match="unauthorized"):
            Client(Address(host="127.0.0.1", port=port)).ask("GET", "/api/tags")


def test_insecure_listens_everywhere_without_a_key(serving):
    """Who insists may."""
    with serving("serve", "--host", "0.0.0.0", "--port", "0", "--insecure") as live:
        port = Address.parse(live.url).port
        assert Client(Address(host="127.0.0.1", port=port)).ask("GET", "/api/tags")


def test_a_taken_port_is_told(echo_homeport, free_port):
    """The port and the way out are named."""
    with socket.create_server(("127.0.0.1", free_port)):
        done = echo_homeport("serve")
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {free_port}" in done.stderr
    assert "--port" in done.stderr


def test_libraries_log_through_the_same_lines(serving):
    """Log lines carry time and level, and --log-level decides which are written."""
    with serving("--log-level", "error", "serve") as live:
        live.process.send_signal(signal.SIGTERM)
        _, log = live.process.communicate(timeout=END_TIMEOUT_SECONDS)
    assert log == ""


def test_the_lifeline_is_not_handed_to_workers(serving):
    """No socket of a server survives an exec, so that no worker keeps a dead parent's server alive."""
    with serving("serve") as live:
        flags = socket_flags(live.process.pid)
    assert flags
    assert all(flag & os.O_CLOEXEC for flag in flags)


def socket_flags(pid):
    """Read the flags of a process's open sockets."""
    sockets = [link.name for link in Path(f"/proc/{pid}/fd").iterdir() if "socket:" in str(link.readlink())]
    infos = [Path(f"/proc/{pid}/fdinfo/{name}").read_text().splitlines() for name in sockets]
    return [int(line.split()[1], 8) for info in infos for line in info if line.startswith("flags:")]


@pytest.mark.skipif(usable_cores() == 1, reason="no worker is started ahead on one core")
def test_a_worker_that_nobody_needed_ends_with_the_server(serving):
    """The process that waits for the first model is not left behind."""
    with serving("serve", HOMEPORT_PLUGINS_ENABLED="echo,onnx-cpu") as live:
        children = psutil.Process(live.process.pid).children()
    assert children
    assert [child.cmdline() for child in children if child.is_running()] == []


def test_no_worker_waits_where_no_backend_loads_models(serving):
    """A server of remote models alone keeps no process beside it."""
    with serving("serve") as live:
        live.await_log("no backend can run installed models")
        children = psutil.Process(live.process.pid).children()
        _, left = psutil.wait_procs(children, timeout=END_TIMEOUT_SECONDS)
        assert not left


def test_variables_without_effect_are_told_once_at_the_start(serving):
    """A switch of Ollama that does nothing here is named in the log."""
    with serving("serve", OLLAMA_FLASH_ATTENTION="1") as live:
        live.await_log("variables that have no effect here: OLLAMA_FLASH_ATTENTION")
