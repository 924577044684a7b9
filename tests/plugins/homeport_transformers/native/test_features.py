"""What the library thinks this CPU can run, beside what the system says."""

import ctypes
from pathlib import Path

import pytest

VECTORS = {"avx2", "fma", "f16c"}
WIDE_VECTORS = {*VECTORS, "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"}
NEEDS = {1: VECTORS, 2: {*VECTORS, "avx_vnni"}, 3: WIDE_VECTORS}
"""CPU flags that each instruction set of abi.h takes."""


@pytest.fixture(scope="module")
def flags() -> set[str]:
    """Give the flags that the system lists, which are those it lets programs use."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return set(next(line for line in lines if line.startswith("flags")).split())


@pytest.mark.parametrize("isa", NEEDS)
def test_an_instruction_set_runs_where_the_system_lists_its_flags(library_file, flags, isa):
    """Kernels are offered exactly where they run."""
    library = ctypes.CDLL(str(library_file))
    assert bool(library.hp_runs_here(isa)) == (NEEDS[isa] <= flags)


def test_the_best_instruction_set_runs(library_file):
    """The choice for whoever does not choose is one that runs."""
    library = ctypes.CDLL(str(library_file))
    best = library.hp_best_isa()
    assert best == 0 or library.hp_runs_here(best)


@pytest.mark.parametrize("isa", [-1, 0, 99])
def test_an_unknown_instruction_set_does_not_run(library_file, isa):
    """Numbers outside of enum HpIsa name nothing."""
    assert not ctypes.CDLL(str(library_file)).hp_runs_here(isa)
