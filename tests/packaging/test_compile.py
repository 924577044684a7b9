"""The script that compiles the native library, on small sources and the real ones."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from uuid import uuid4

import pytest

UNIT = """
#include "figures.hpp"
extern "C" __attribute__((visibility("default"))) int hp_answer() { return answer() + kOffset; }
"""
KERNEL = """
#include <immintrin.h>
int answer() { return sizeof(__m256i); }
"""
HEADER = "#pragma once\nconstexpr int kOffset = 10;\nint answer();\n"


@pytest.fixture(autouse=True, scope="module")
def _compiler(compiling):
    try:
        compiling.find_compiler()
    except compiling.CompilationError as error:
        pytest.skip(str(error))


@pytest.fixture
def sources(tmp_path):
    """Two units and a header."""
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "unit.cpp").write_text(UNIT)
    (folder / "kernel_avx2.cpp").write_text(KERNEL)
    (folder / "figures.hpp").write_text(HEADER)
    return folder


@pytest.fixture
def build(compiling, sources, tmp_path):
    """Compile them: gives whether anything was done, and which objects are new."""
    objects = tmp_path / "objects"

    def run():
        before = {*objects.glob("*.o")}
        done = compiling.compile_library(tmp_path / "lib.so", objects=objects, sources=sources)
        return done, {path.name.partition("-")[0] for path in {*objects.glob("*.o")} - before}

    return run


def answer(path):
    """Call a library, through a copy: the loader does not open a path twice."""
    with tempfile.TemporaryDirectory() as folder:
        return ctypes.CDLL(shutil.copy(path, folder + f"/{uuid4()}.so")).hp_answer()


def test_library_works_and_is_not_built_twice(build, tmp_path):
    """What has not changed costs nothing."""
    assert build() == (True, {"unit", "kernel_avx2"})
    assert answer(tmp_path / "lib.so") == 42
    assert build() == (False, set())


def test_changed_header_compiles_what_includes_it(build, sources, tmp_path):
    """Objects follow their headers, and a library in use is replaced, not written into."""
    build()
    assert answer(tmp_path / "lib.so") == 42
    (sources / "figures.hpp").write_text(HEADER.replace("10", "11"))
    assert build() == (True, {"unit"})
    assert answer(tmp_path / "lib.so") == 43


def test_removed_unit_leaves_the_library(build, compiling, sources):
    """The set of files counts, not only what is in them."""
    (sources / "more.cpp").write_text("int more() { return 1; }\n")
    build()
    (sources / "more.cpp").unlink()
    assert build() == (True, set())


def test_error_shows_the_compiler_and_keeps_the_old_library(build, compiling, sources, tmp_path):
    """A slip in one file is shown as the compiler says it."""
    build()
    (sources / "unit.cpp").write_text("int broken( { }\n")
    with pytest.raises(compiling.CompilationError, match=r"unit\.cpp does not compile(?s:.)*error: expected"):
        build()
    assert answer(tmp_path / "lib.so") == 42
    assert [path.name for path in tmp_path.rglob("*.draft")] == []


def test_missing_function_is_an_error_of_the_build(build, compiling, sources):
    """Not of the user who loads the library."""
    (sources / "kernel_avx2.cpp").unlink()
    with pytest.raises(compiling.CompilationError, match=r"does not link(?s:.)*answer"):
        build()


def test_only_the_c_interface_is_exported(build, tmp_path):
    """Nothing of ours, and nothing of the C++ runtime inside, can get in the way of another library."""
    build()
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=just-symbols", tmp_path / "lib.so"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.split() == ["hp_answer"]


@pytest.mark.parametrize("command", ["no-such-compiler", "false", "false --quiet"])
def test_unusable_compiler_that_was_named_is_not_replaced(compiling, monkeypatch, command):
    """``CXX`` is an order; the error repeats it."""
    monkeypatch.setenv("CXX", command)
    with pytest.raises(compiling.CompilationError, match=f"CXX={command}"):
        compiling.find_compiler()


def test_named_compiler_may_have_arguments(compiling, monkeypatch):
    """Wrappers such as ccache are written so."""
    monkeypatch.setenv("CXX", "env g++")
    assert compiling.find_compiler().command == ("env", "g++")


@pytest.mark.parametrize(
    ("name", "has", "lacks"),
    [
        ("pool.cpp", (), ("-mavx2",)),
        ("kernels_avx2.cpp", ("-mavx2", "-mfma", "-mf16c"), ("-mavxvnni", "-mavx512f")),
        ("kernels_avx2_vnni.cpp", ("-mavx2", "-mavxvnni"), ("-mavx512f",)),
        ("matmul_avx512.cpp", ("-mavx512f", "-mavx512vnni", "-mfma"), ("-mamx-tile", "-mavxvnni")),
        ("kernels_amx.cpp", ("-mamx-int8", "-mamx-bf16", "-mavx512bw"), ("-mavxvnni",)),
    ],
)
def test_name_of_a_file_tells_its_instruction_set(compiling, tmp_path, name, has, lacks):
    """A CPU runs no code of a stronger set, because nothing else is compiled for it."""
    flags = compiling.instruction_set(tmp_path / name)
    assert {*has} <= {*flags}
    assert not {*lacks} & {*flags}


def test_no_shared_inline_function_of_the_real_sources_needs_more_than_its_callers_have(compiling):
    """Of an inline function the linker keeps one copy, the first unit's, and it must suit all."""
    compiling.OBJECTS.mkdir(exist_ok=True)
    build = compiling.Build(compiling.find_compiler(), sources=compiling.SOURCES, objects=compiling.OBJECTS)
    kept = {}
    clashes = []
    for unit in build.units:
        build.compile(unit)
        for symbol in weak_functions(unit.object):
            first = kept.setdefault(symbol, unit)
            if not {*first.flags} <= {*unit.flags}:
                clashes.append((symbol, first.source.name, unit.source.name))
    assert clashes == []


def weak_functions(path):
    """Name what an object defines and other objects may define too."""
    listed = subprocess.run(
        ["nm", "-C", "--defined-only", path],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    for line in listed.stdout.splitlines():
        _, kind, symbol = line.split(maxsplit=2)
        if kind == "W":
            yield symbol
