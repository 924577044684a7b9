import psutil
import pytest

from homeport.worker.memory import available_bytes

GIBIBYTE = 1024**3


@pytest.fixture
def make_group(tmp_path):
    """Write the files of a control group, and say which one this process is in."""

    def make(path, limit, used, inactive_file=0):
        folder = tmp_path / "cgroup" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 7\ninactive_file {inactive_file}\n")
        (tmp_path / "own").write_text(f"0::/{path}\n")

    return make


@pytest.fixture
def left(tmp_path):
    """What is left under the groups that were written."""
    return lambda: available_bytes(tmp_path / "cgroup", tmp_path / "own")


def test_group_bounds_what_is_left_and_old_pages_of_files_do_not_count(make_group, left):
    """Pages that the system drops when it needs them are free."""
    make_group("", 1000, 900, inactive_file=50)
    assert left() == 150


def test_tightest_group_above_the_process_decides(make_group, left):
    """A service's limit counts, and that of the slice it is in."""
    make_group("system.slice", 800, 100)
    make_group("system.slice/homeport.service", "max", 100)
    assert left() == 700


def test_full_group_leaves_nothing(make_group, left):
    """Less than nothing is nothing."""
    make_group("", 1000, 2000)
    assert left() == 0


def test_machine_without_limits_leaves_what_is_available(make_group, left):
    """Without a group, and with an unlimited or unreadable one, the machine decides."""
    nearly = pytest.approx(psutil.virtual_memory().available, abs=GIBIBYTE)
    assert left() == nearly
    make_group("", "max", 10)
    assert left() == nearly
    make_group("", "nonsense", 10)
    assert left() == nearly
    assert available_bytes() > 0
