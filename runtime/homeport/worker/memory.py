"""How much memory this process may still take."""

from collections.abc import Iterator
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def available_bytes(groups: Path = _CGROUPS, own_group: Path = _OWN_GROUP) -> int:
    """Give what the machine and every control group above this process leave free.

    Args:
        groups: Where version 2 control groups are mounted.
        own_group: Names the group of this process, as ``0::/path``.
    """
    return max(min([int(psutil.virtual_memory().available), *_left_in_groups(groups, own_group)]), 0)


def _left_in_groups(groups: Path, own_group: Path) -> Iterator[int]:
    try:
        line = own_group.read_text(encoding="utf-8").rpartition("0::")[2].strip()
    except OSError:
        line = "/"
    folder = groups / line.lstrip("/")
    for group in (folder, *folder.parents):
        if group.is_relative_to(groups):
            left = _left(group)
            if left is not None:
                yield left


def _left(group: Path) -> int | None:
    """Count pages of files that were not used lately as free: they go when others are needed."""
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        if limit == "max":
            return None
        used = int((group / "memory.current").read_text(encoding="ascii"))
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        counters = dict(line.split() for line in lines)
        return int(limit) - used + int(counters.get("inactive_file", 0))
    except (OSError, ValueError):
        return None
