"""The native library in the wheel, and the wheel without it."""

import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).parents[2]
LIBRARY = "homeport_transformers/libhomeport_native.so"
USE_IT = """
from homeport_transformers.native_library import LIBRARY_FILE, best_isa
isa = best_isa()
print(LIBRARY_FILE, isa.name if isa else "none")
"""
DOCTOR = ("-m", "homeport", "doctor", "--json")


def platforms(wheel):
    return {tag.platform for tag in parse_wheel_filename(wheel.name)[3]}


def has_library(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return LIBRARY in archive.namelist()


def word_of_the_backend(done):
    (finding,) = [
        finding
        for finding in json.loads(done.stdout)["findings"]
        if finding["check"] == "backend transformers-cpu"
    ]
    return finding


@pytest.fixture(scope="session")
def native_wheel(compiling, wheel):
    """The project's wheel, where there is a compiler."""
    try:
        compiling.find_compiler()
    except compiling.CompilationError as error:
        pytest.skip(str(error))
    return wheel


@pytest.fixture(scope="session")
def pure_wheel(build_wheel):
    """The wheel that comes of a machine without a usable compiler."""
    return build_wheel(ROOT, CXX="false")


def test_wheel_with_the_library_is_for_this_platform_and_any_python(native_wheel):
    """The library is bound through ctypes, so no version of Python matters."""
    ((interpreter, abi, platform),) = {
        (tag.interpreter, tag.abi, tag.platform) for tag in parse_wheel_filename(native_wheel.name)[3]
    }
    assert (interpreter, abi) == ("py3", "none")
    assert platform == "linux_x86_64"
    assert has_library(native_wheel)


def test_installed_library_is_found_and_used(native_wheel, install, python):
    """In a fresh environment the kernels are there, and the doctor tells their instruction set."""
    interpreter = install(native_wheel)
    path, _, isa = python("-c", USE_IT, interpreter=interpreter).stdout.strip().rpartition(" ")
    assert Path(path).is_relative_to(interpreter.parents[1])
    assert Path(path).is_file()
    finding = word_of_the_backend(python(*DOCTOR, interpreter=interpreter))
    assert finding["state"] == "ok"
    assert isa in finding["detail"] or isa == "none"


def test_wheel_without_a_compiler_is_pure(pure_wheel):
    """Nobody needs a compiler to install homeport."""
    assert platforms(pure_wheel) == {"any"}
    assert not has_library(pure_wheel)


def test_doctor_tells_what_is_missing_in_a_pure_wheel(pure_wheel, install, python):
    """What it costs and how to get the kernels is told where somebody looks."""
    interpreter = install(pure_wheel)
    assert python("-c", USE_IT, interpreter=interpreter).stdout.split()[-1] == "none"
    finding = word_of_the_backend(python(*DOCTOR, interpreter=interpreter))
    assert finding["state"] == "warning"
    assert "native kernels are not built" in finding["detail"]
    assert "apt install g++" in finding["fix"]


def test_library_can_be_left_out(build_wheel):
    """``HOMEPORT_NO_NATIVE`` makes a pure wheel whatever compiler there is."""
    assert not has_library(build_wheel(ROOT, HOMEPORT_NO_NATIVE="1"))


def test_missing_compiler_is_told_while_building(python, tmp_path):
    """The warning names what was tried and how to get a compiler."""
    done = python("-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=ROOT, CXX="false")
    told = done.stdout + done.stderr
    assert "no native kernels" in told
    assert "CXX=false" in told
    assert "apt install g++" in told


def test_source_distribution_has_the_sources_and_nothing_built(python, tmp_path):
    """Who installs from it compiles."""
    python("-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=ROOT)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        inside = [name for name in sources.getnames() if "/homeport_transformers/native/" in name]
    endings = {Path(name).suffix for name in inside}
    assert {".cpp", ".h", ".hpp", ".py"} <= endings
    assert endings & {".o", ".so", ".draft"} == set()
