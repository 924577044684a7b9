"""A host that writes down whom it speaks to: every address that is connected to, every name asked for.

Run as ``python watched_host.py RECORD ARGUMENTS...``, the arguments being those of ``homeport``.
"""

import sys
from pathlib import Path

_EVENTS = {"socket.connect": 1, "socket.sendto": 1, "socket.getaddrinfo": 0, "socket.gethostbyname": 0}


def _watch(record):
    def note(event, arguments):
        if event in _EVENTS:
            record.write(f"{event} {arguments[_EVENTS[event]]!r}\n")
            record.flush()

    sys.addaudithook(note)


if __name__ == "__main__":
    with Path(sys.argv[1]).open("a", buffering=1) as record:
        _watch(record)
        from homeport.cli import main

        sys.argv[1:] = sys.argv[2:]
        main()
