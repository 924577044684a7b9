"""How a process ended, for people."""

import signal

_MEMORY = "most likely memory ran out"


def exit_words(returncode: int) -> str:
    """Name an exit status or a signal; a SIGKILL that nobody here sent is the system's, for want of memory.

    Args:
        returncode: As ``Process.returncode`` has it: below 0 is a signal.
    """
    if returncode >= 0:
        return f"exit status {returncode}"
    number = -returncode
    try:
        name = f"signal {number}, {signal.Signals(number).name}"
    except ValueError:  # real-time signals have no names
        name = f"signal {number}"
    return f"{name}: {_MEMORY}" if number == signal.SIGKILL else name
