"""Which process holds a reservation, told so that a later process of the same number is not taken for it."""

import os
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_START_TICKS_FIELD = 19
"""Of /proc/PID/stat behind the name in brackets: proc(5) calls it field 22, starttime."""


def this_process() -> str:
    """Name this process: its number, when it started, and the boot of the machine."""
    pid = os.getpid()
    return f"{pid}:{_started(pid)}:{_boot()}"


def is_alive(process: str) -> bool:
    """Tell whether a process that was named so still runs."""
    pid, _, rest = process.partition(":")
    return pid.isdecimal() and rest == f"{_started(int(pid))}:{_boot()}"


def _started(pid: int) -> str:
    """Give the start of a process in clock ticks since boot; empty where it is gone or dead."""
    try:
        _, _, fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")
        state, *_ = listed = fields.split()
        return "" if state in {"Z", "X"} else listed[_START_TICKS_FIELD]
    except (OSError, IndexError, ValueError):
        return ""


def _boot() -> str:
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return ""
