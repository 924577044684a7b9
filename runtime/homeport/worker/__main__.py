"""``python -m homeport.worker FD LEVEL``: serve one model over an inherited socket."""

import signal
import socket
import sys

from homeport.config.logs import configure_logging
from homeport.worker.server import WorkerServer


def main() -> None:
    """Serve until the host closes the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_logging(sys.argv[2])
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        WorkerServer(connection).serve()


if __name__ == "__main__":
    main()
