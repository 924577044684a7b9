"""How much memory this process may still take, how much it took, and whether the system is short of it."""

import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import psutil

LEAST_FREE_BYTES = 1024**3
"""What stays free for other programs, which may ask for it between two looks at the memory."""
_LEAST_FREE_SHARE = 10
"""One part in ten, where that is less: beside a model, 4 GiB seldom have one left for nobody."""
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")
_OWN_STATUS = Path("/proc/self/status")
_PEAK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)
_PRESSURE = Path("/proc/pressure/memory")
_SOME_STALLED = re.compile(r"^some avg10=(\d+(?:\.\d+)?) ", re.MULTILINE)
_KIBIBYTE = 1024


@attrs.frozen
class _Memory:
    """Bytes of the machine or of a control group, and those of them that are left."""

    size: int
    left: int

    @property
    def spare(self) -> int:
        return self.left - min(LEAST_FREE_BYTES, self.size // _LEAST_FREE_SHARE)


def available_bytes(
    groups: Path = _CGROUPS, own_group: Path = _OWN_GROUP, *, mapped_elsewhere: int = 0
) -> int:
    """Give what the machine and every control group above this process leave free.

    Args:
        groups: Where version 2 control groups are mounted.
        own_group: Names the group of this process, as ``0::/path``.
        mapped_elsewhere: Bytes of files that processes of ours hold mapped, and need.
    """
    return max(min(memory.left for memory in _memories(groups, own_group, mapped_elsewhere)), 0)


def total_bytes(groups: Path = _CGROUPS, own_group: Path = _OWN_GROUP) -> int:
    """Give what the machine has, or the smallest control group above this process.

    Args:
        groups: As for :func:`available_bytes`.
        own_group: Likewise.
    """
    return min(memory.size for memory in _memories(groups, own_group))


def resident_bytes() -> int:
    """Give what this process holds in memory now, mapped files among it."""
    return int(psutil.Process().memory_info().rss)


def peak_bytes(status: Path = _OWN_STATUS) -> int:
    """Give the most memory that this process has held at once, mapped files among it.

    Args:
        status: Its ``status`` file; where there is none, ``getrusage`` is asked.
    """
    try:
        found = _PEAK.search(status.read_text(encoding="ascii", errors="replace"))
    except OSError:
        found = None
    if found is not None:
        return int(found[1]) * _KIBIBYTE
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * _KIBIBYTE


def pressure_percent(
    groups: Path = _CGROUPS, own_group: Path = _OWN_GROUP, pressure: Path = _PRESSURE
) -> float:
    """Give the share of the last 10 s in which some task waited for memory: 0 to 100, 0 where unknown.

    The larger figure of the machine and the control groups above this process, as in
    https://docs.kernel.org/accounting/psi.html.

    Args:
        groups: As for :func:`available_bytes`.
        own_group: Likewise.
        pressure: The file of the machine.
    """
    files = (pressure, *(group / "memory.pressure" for group in _groups(groups, own_group)))
    return max(_stalled(file) for file in files)


def spare_bytes(groups: Path = _CGROUPS, own_group: Path = _OWN_GROUP) -> int:
    """Give what this process may still take so that enough stays free; below 0 where too little is.

    Args:
        groups: As for :func:`available_bytes`.
        own_group: Likewise.
    """
    return min(memory.spare for memory in _memories(groups, own_group))


def _memories(groups: Path, own_group: Path, mapped_elsewhere: int = 0) -> Iterator[_Memory]:
    yield _of_machine(mapped_elsewhere)
    for group in _groups(groups, own_group):
        memory = _of_group(group)
        if memory is not None:
            yield memory


def _groups(groups: Path, own_group: Path) -> Iterator[Path]:
    """List the control groups above this process, its own first."""
    try:
        line = own_group.read_text(encoding="utf-8").rpartition("0::")[2].strip()
    except OSError:
        line = "/"
    folder = groups / line.lstrip("/")
    for group in (folder, *folder.parents):
        if group.is_relative_to(groups):
            yield group


def _stalled(file: Path) -> float:
    try:
        found = _SOME_STALLED.search(file.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return 0.0
    return float(found[1]) if found else 0.0


def _of_machine(mapped_elsewhere: int) -> _Memory:
    """Count mapped files as taken: the system calls them available, and each step reads all weights."""
    mapped = getattr(psutil.Process().memory_info(), "shared", 0)  # not told on every system
    machine = psutil.virtual_memory()
    return _Memory(int(machine.total), int(machine.available) - int(mapped) - mapped_elsewhere)


def _of_group(group: Path) -> _Memory | None:
    """Count pages of files that were not used lately as free: they go when others are needed."""
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        if limit == "max":
            return None
        used = int((group / "memory.current").read_text(encoding="ascii"))
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        counters = dict(line.split() for line in lines)
        size = int(limit)
        return _Memory(size, size - used + int(counters.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None
