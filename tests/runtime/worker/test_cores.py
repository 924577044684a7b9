import os

import pytest

from homeport.worker.cores import usable_cores


@pytest.mark.parametrize(
    ("content", "most"),
    [("100000 100000", 1), ("50000 100000", 1), ("max 100000", 10_000), ("nonsense", 10_000)],
)
def test_cores_are_bounded_by_mask_and_quota(tmp_path, content, most):
    """Never more than the affinity mask or the quota allow, never less than one."""
    file = tmp_path / "cpu.max"
    file.write_text(content)
    assert usable_cores(file) == min(most, len(os.sched_getaffinity(0)))


def test_machine_without_a_quota_file_uses_its_mask(tmp_path):
    """No cgroup, no quota."""
    assert usable_cores(tmp_path / "absent") == len(os.sched_getaffinity(0))
