"""``python -m homeport.worker FD LEVEL``: serve one model over an inherited socket."""

import signal
import socket
import sys

from homeport.config.lasting import lasting
from homeport.config.logs import configure_logging
from homeport.config.offline import stay_offline
from homeport.domain.errors import LoadError
from homeport.worker.channel import failure_message, frame


def main() -> None:
    """Serve until the host closes the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_logging(sys.argv[2])
    stay_offline()
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        try:
            with lasting():
                from homeport.worker.server import WorkerServer  # noqa: PLC0415 - its imports may be missing
        except ModuleNotFoundError as error:
            message = f"running models needs the package {error.name!r}"
            lacking = LoadError(message, hint="Install it with: pip install 'homeport[engine]'")
            connection.sendall(frame(failure_message("", lacking)))
            return
        WorkerServer(connection).serve()


if __name__ == "__main__":
    main()
