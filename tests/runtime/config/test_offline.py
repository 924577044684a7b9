"""Staying offline, seen from processes of their own: what is refused there stays refused."""

import os
import subprocess
import sys

import pytest

PREAMBLE = """
import os, socket, sys
from homeport.config.offline import go_offline, stay_offline
"""


def run(code, **variables):
    """Run code in a fresh interpreter and give the last line that it printed."""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


CALL = """
go_offline(os.environ)
try:
    {}
except PermissionError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize(
    "call",
    [
        'socket.create_connection(("192.0.2.1", 80), timeout=1)',
        'socket.socket().connect_ex(("192.0.2.1", 80))',
        'socket.create_connection(("homeport.example", 80), timeout=1)',
        'socket.getaddrinfo("homeport.example", 80)',
        'socket.getaddrinfo(b"homeport.example", 80)',
        'socket.gethostbyname("homeport.example")',
        'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53))',
        'socket.socket(socket.AF_INET6, socket.SOCK_STREAM).connect(("2001:db8::1", 80))',
        'socket.create_connection(("127.0.0.1.homeport.example", 80), timeout=1)',
    ],
)
def test_nothing_leaves_the_machine(call):
    """Connections, datagrams and questions to name servers are refused before they are made."""
    assert run(CALL.format(call)).startswith("offline: nothing may be asked of '")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.8.9.1"])
def test_this_machine_is_reached_as_ever(host):
    """Whoever listens on loopback can be asked."""
    code = f"""
go_offline(os.environ)
with socket.create_server(("127.0.0.1" if {host!r} == "localhost" else {host!r}, 0)) as server:
    socket.create_connection(({host!r}, server.getsockname()[1]), timeout=5).close()
ours, theirs = socket.socketpair()
print("reached")
"""
    assert run(code) == "reached"


def test_processes_started_by_it_stay_offline_too():
    """Workers and fetches inherit it, pip and the hub's client are told; a proxy is no way out."""
    code = """
import subprocess
go_offline(os.environ)
inner = '''
import os, socket
from homeport.config.offline import stay_offline
stay_offline()
try:
    socket.getaddrinfo("homeport.example", 80)
except PermissionError:
    proxies = [name for name in os.environ if name.lower().endswith("_proxy")]
    print(proxies, os.environ["PIP_NO_INDEX"], os.environ["HF_HUB_OFFLINE"])
'''
print(subprocess.run([sys.executable, "-c", inner], capture_output=True, text=True).stdout)
"""
    assert run(code, HTTPS_PROXY="http://127.0.0.1:1", http_proxy="http://127.0.0.1:1") == "[] 1 1"


def test_who_is_not_offline_is_left_alone():
    """Without the variable a child refuses nothing."""
    code = """
stay_offline()
try:
    socket.create_connection(("127.0.0.1", 1), timeout=1)
except ConnectionRefusedError:
    print("asked")
"""
    assert run(code, HOMEPORT_OFFLINE="") == "asked"
