import mmap

import psutil
import pytest

from homeport.worker.memory import (
    LEAST_FREE_BYTES,
    available_bytes,
    peak_bytes,
    pressure_percent,
    spare_bytes,
    total_bytes,
)

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


def test_a_tenth_of_a_small_group_stays_free(make_group, tmp_path):
    """Of 1000 bytes 100 are for others, and when they are taken something must be given back."""
    make_group("", 1000, 700)
    assert spare_bytes(tmp_path / "cgroup", tmp_path / "own") == 200
    make_group("", 1000, 950)
    assert spare_bytes(tmp_path / "cgroup", tmp_path / "own") == -50


def test_no_more_than_a_gibibyte_stays_free(make_group, tmp_path):
    """A machine of 1 TiB does not keep 100 GiB of it."""
    make_group("", 1024 * GIBIBYTE, 1023 * GIBIBYTE)
    assert LEAST_FREE_BYTES == GIBIBYTE
    assert spare_bytes(tmp_path / "cgroup", tmp_path / "own") == 0


def test_mapped_files_are_not_free(tmp_path):
    """Weights in use are not given to a cache, though the system could drop their pages."""
    size = 64 * 1024**2
    weights = tmp_path / "weights"
    weights.write_bytes(bytes(size))

    def taken():
        return psutil.virtual_memory().available - available_bytes(tmp_path, tmp_path / "none")

    before = taken()
    with weights.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert not any(mapped[:: mmap.PAGESIZE])
        assert taken() - before > size / 2


def test_files_that_other_processes_of_ours_map_are_not_free(tmp_path):
    """The weights of workers are taken, though the system calls their pages available."""
    none = tmp_path / "none"
    before = available_bytes(tmp_path, none)
    after = available_bytes(tmp_path, none, mapped_elsewhere=GIBIBYTE)
    assert before - after == pytest.approx(GIBIBYTE, abs=GIBIBYTE / 4)


def test_smallest_bound_is_what_there_is(make_group, tmp_path):
    """A group's limit counts where it is below what the machine has."""
    make_group("", 1000, 10)
    assert total_bytes(tmp_path / "cgroup", tmp_path / "own") == 1000
    make_group("", "max", 10)
    assert total_bytes(tmp_path / "cgroup", tmp_path / "own") == psutil.virtual_memory().total


def test_peak_does_not_fall(tmp_path):
    """What was given back still counts; without a status file the system is asked otherwise."""
    taken = bytearray(b"x" * 64 * 1024**2)
    held = psutil.Process().memory_info().rss
    del taken
    assert peak_bytes() >= held * 0.9
    assert peak_bytes(tmp_path / "none") >= held * 0.9


@pytest.mark.parametrize("content", ["", "nonsense", "some avg10=x avg60=0.00\n", None])
def test_unreadable_pressure_is_none(make_group, tmp_path, content):
    """A kernel without the figure never holds anything up."""
    make_group("", "max", 10)
    file = tmp_path / "pressure"
    if content is not None:
        file.write_text(content)
    assert pressure_percent(tmp_path / "cgroup", tmp_path / "own", file) == 0


def test_highest_pressure_counts(make_group, tmp_path):
    """The machine may be calm while the control group is short of memory."""
    make_group("system.slice/homeport.service", "max", 100)
    line = "some avg10={} avg60=0.00 avg300=0.00 total=1\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=1\n"
    (tmp_path / "pressure").write_text(line.format("1.50"))
    files = tmp_path / "cgroup", tmp_path / "own", tmp_path / "pressure"
    assert pressure_percent(*files) == 1.5
    (tmp_path / "cgroup/system.slice/memory.pressure").write_text(line.format("12.00"))
    assert pressure_percent(*files) == 12
