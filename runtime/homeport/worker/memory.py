"""How much memory this process may still take."""

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


@attrs.frozen
class _Memory:
    """Bytes of the machine or of a control group, and those of them that are left."""

    size: int
    left: int

    @property
    def spare(self) -> int:
        return self.left - min(LEAST_FREE_BYTES, self.size // _LEAST_FREE_SHARE)


def available_bytes(groups: Path = _CGROUPS, own_group: Path = _OWN_GROUP) -> int:
    """Give what the machine and every control group above this process leave free.

    Args:
        groups: Where version 2 control groups are mounted.
        own_group: Names the group of this process, as ``0::/path``.
    """
    return max(min(memory.left for memory in _memories(groups, own_group)), 0)


def spare_bytes(groups: Path = _CGROUPS, own_group: Path = _OWN_GROUP) -> int:
    """Give what this process may still take so that enough stays free; below 0 where too little is.

    Args:
        groups: As for :func:`available_bytes`.
        own_group: Likewise.
    """
    return min(memory.spare for memory in _memories(groups, own_group))


def _memories(groups: Path, own_group: Path) -> Iterator[_Memory]:
    yield _of_machine()
    try:
        line = own_group.read_text(encoding="utf-8").rpartition("0::")[2].strip()
    except OSError:
        line = "/"
    folder = groups / line.lstrip("/")
    for group in (folder, *folder.parents):
        if group.is_relative_to(groups):
            memory = _of_group(group)
            if memory is not None:
                yield memory


def _of_machine() -> _Memory:
    """Count mapped files as taken: the system calls them available, and each step reads all weights."""
    mapped = getattr(psutil.Process().memory_info(), "shared", 0)  # not told on every system
    machine = psutil.virtual_memory()
    return _Memory(int(machine.total), int(machine.available) - int(mapped))


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
