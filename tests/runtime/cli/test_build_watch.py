import socket
import threading
import time

import pytest

from homeport.cli.address import Address
from homeport.cli.build_watch import build_watch
from homeport.cli.client import Client


@pytest.fixture
def silent_server():
    """A server that takes connections and says nothing; gives its client, and an event of the first."""
    came, over = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            guest, _ = listener.accept()
            with guest:
                came.set()
                over.wait()

        serving = threading.Thread(target=serve)
        serving.start()
        yield Client(Address(host="127.0.0.1", port=listener.getsockname()[1])), came
        over.set()
        serving.join()


def test_whoever_leaves_does_not_wait_for_a_server_that_is_stuck(silent_server):
    """Ctrl-C, and an answer that is there, end the watch although its last question is open."""
    client, came = silent_server
    with build_watch(client, "tiny", is_needed=True):
        assert came.wait(30)
        left = time.monotonic()
    assert time.monotonic() - left < 3
