"""How many cores this process may really use."""

import os
from pathlib import Path

_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota_file: Path = _QUOTA_FILE) -> int:
    """Count cores by affinity mask and cgroup quota, at least one.

    Args:
        quota_file: Version 2 ``cpu.max``: quota and period in microseconds, or ``max``.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        granted = int(quota) // int(period) if quota != "max" else allowed
    except (OSError, ValueError, ZeroDivisionError):
        granted = allowed
    return max(1, min(allowed, granted))
