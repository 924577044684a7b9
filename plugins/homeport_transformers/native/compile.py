"""Compiles the C++ sources beside this file into ``libhomeport_native.so``; needs nothing but Python.

Each translation unit is compiled for the instruction set that its name tells, and chosen at run time by what
the CPU has. An object is kept under the digest of all that it depends on, and the library bears the digest of
its objects as its build id, so nothing is compiled twice.

Run it after a change to the sources::

    python plugins/homeport_transformers/native/compile.py
"""

import argparse
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
LIBRARY_NAME = "libhomeport_native.so"
LIBRARY = SOURCES.parent / LIBRARY_NAME
"""Where the plugin looks for it."""

OBJECTS = SOURCES / "build"
_STALE_SECONDS = 3600
_DIGEST_CHARACTERS = 40

_CANDIDATES = ("c++", "g++", "g++-14", "g++-13", "g++-12", "g++-11", "clang++")

# The AVX-512 header of gcc 12 reads what it calls undefined; clang does not know the name of that warning.
_QUIET = ("-Wno-maybe-uninitialized", "-Wno-unknown-warning-option")
_COMMON = ("-std=c++20", "-fPIC", "-pthread", "-Wall", "-Wextra", *_QUIET)
_FAST = ("-O3", "-fvisibility=hidden", "-ffp-contract=on")
_SANITIZED = (
    *("-O1", "-g1", "-fno-omit-frame-pointer", "-fvisibility=hidden", "-ffp-contract=on"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)
_FAST_LINK = ("-static-libstdc++", "-static-libgcc", "-Wl,-z,defs", "-Wl,--exclude-libs,ALL")
_SANITIZED_LINK = ("-fsanitize=address,undefined",)

_AVX2 = ("-mavx2", "-mfma", "-mf16c")
_AVX512 = (*_AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni")
_INSTRUCTION_SETS = (
    ("*amx*.cpp", (*_AVX512, "-mamx-tile", "-mamx-int8", "-mamx-bf16")),
    ("*avx512*.cpp", _AVX512),
    ("*avx2_vnni*.cpp", (*_AVX2, "-mavxvnni")),
    ("*avx2*.cpp", _AVX2),
)
"""By file name, first match; all other files are for any x86-64."""

_LINK_ORDER = ((), *(flags for _, flags in reversed(_INSTRUCTION_SETS)))
"""Weakest first: of an inline function that several units have, the linker keeps the first copy, and one for
AVX-512 must not end up in the code that every CPU runs."""

_PROBE_FLAGS = (*_COMMON, *(flag for _, flags in _INSTRUCTION_SETS for flag in flags))
_PROBE = """
#include <immintrin.h>
#include <bit>
#include <thread>
#if !defined(__x86_64__)
#error "not a compiler for x86-64"
#endif
"""
_EXPORTS = "{ global: hp_*; local: *; };\n"
_INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


class CompilationError(Exception):
    """There is no library, and this is why."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler that knows all we need.

    Attributes:
        command: The program and arguments that always go to it.
        version: What it says about itself, on one line.
    """

    command: tuple[str, ...]
    version: str


def find_compiler() -> Compiler:
    """Find a compiler for C++20 and our instruction sets: ``CXX``, or the first of the usual names.

    Raises:
        CompilationError: There is none, or this is not x86-64 Linux.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise CompilationError(
            f"the native kernels are for x86-64 Linux; this is {sys.platform} on {platform.machine()}"
        )
    named = shlex.split(os.environ.get("CXX", ""))
    refusals = []
    for command in [tuple(named)] if named else [(name,) for name in _CANDIDATES]:
        if shutil.which(command[0]) is None:
            continue
        probed = _run([*command, *_PROBE_FLAGS, "-fsyntax-only", "-x", "c++", "-"], _PROBE)
        if probed.returncode == 0:
            version = _run([*command, "--version"]).stdout.partition("\n")[0]
            return Compiler(command, version.strip())
        refusals.append(f"{shlex.join(command)}: {probed.stderr.strip()[:300] or 'it failed'}")
    raise CompilationError(_no_compiler(named, refusals))


def _no_compiler(named: Sequence[str], refusals: Sequence[str]) -> str:
    tried = f"CXX={shlex.join(named)}" if named else ", ".join(_CANDIDATES)
    reasons = "".join(f"\n  {refusal}" for refusal in refusals)
    return (
        f"no usable C++ compiler; tried {tried}. It must know C++20 and AVX-VNNI, as g++ 11 and clang++ 14 "
        f"and newer do. Install one, for example with `apt install g++`, or name one in CXX.{reasons}"
    )


def compile_library(
    target: Path = LIBRARY, *, sanitize: bool = False, objects: Path = OBJECTS, sources: Path = SOURCES
) -> bool:
    """Compile and link what has changed, and put the library at ``target`` in one step.

    Args:
        target: The library; an existing one is replaced, and processes that have it loaded keep theirs.
        sanitize: With AddressSanitizer and UndefinedBehaviorSanitizer, for tests.
        objects: Folder that keeps objects between runs.
        sources: Folder of the ``*.cpp``.

    Returns:
        Whether anything was done.

    Raises:
        CompilationError: No compiler, no sources, or one of them does not compile.
    """
    build = Build(find_compiler(), sanitize=sanitize, objects=objects, sources=sources)
    if _bears(target, build.digest):
        return False
    for folder in (objects, target.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(build.compile, build.units))
    build.link(target)
    build.sweep()
    return True


def is_current(library: Path) -> bool:
    """Tell whether a library was built from the sources as they are now, by the compiler that is there.

    Raises:
        CompilationError: There is no compiler, or there are no sources.
    """
    build = Build(find_compiler(), objects=OBJECTS, sources=SOURCES)
    return _bears(library, build.digest)


def shared_runtime(name: str) -> Path:
    """Find a library that comes with the compiler, such as ``libasan.so``.

    Raises:
        CompilationError: The compiler has none of this name.
    """
    compiler = find_compiler()
    found = Path(_run([*compiler.command, f"-print-file-name={name}"]).stdout.strip())
    if not found.is_absolute():
        raise CompilationError(f"{compiler.version} comes without {name}; use g++, for example with CXX=g++")
    return found.resolve()


@dataclass(frozen=True)
class Unit:
    """One translation unit.

    Attributes:
        source: The file.
        flags: Its instruction set.
        object: Where its object is kept, with the digest of what it depends on in the name.
    """

    source: Path
    flags: tuple[str, ...]
    object: Path


class Build:
    """What is to be compiled, how, and under which digest.

    Attributes:
        units: In the order in which they are linked.
        digest: Of all that goes into the library.

    Raises:
        CompilationError: There are no sources.
    """

    def __init__(self, compiler: Compiler, *, objects: Path, sources: Path, sanitize: bool = False) -> None:
        self._compiler = compiler
        self._objects = objects
        self._flags = (*_COMMON, *(_SANITIZED if sanitize else _FAST))
        self._link_flags = _SANITIZED_LINK if sanitize else _FAST_LINK
        units = [self._unit(source) for source in sorted(sources.glob("*.cpp"))]
        if not units:
            raise CompilationError(f"no *.cpp in {sources}")
        self.units = sorted(units, key=lambda unit: _LINK_ORDER.index(unit.flags))
        self.digest = _digest(*self._link_flags, *(unit.object.name for unit in self.units))

    def _unit(self, source: Path) -> Unit:
        flags = instruction_set(source)
        digest = _digest(
            *self._compiler.command,
            self._compiler.version,
            *self._flags,
            *flags,
            *(path.name.encode() + b"\0" + path.read_bytes() for path in _with_headers(source)),
        )
        return Unit(source, flags, self._objects / f"{source.stem}-{digest[:16]}.o")

    def compile(self, unit: Unit) -> None:
        """Make the object of a unit, where it is not there yet."""
        if unit.object.exists():
            os.utime(unit.object)
            return
        draft = unit.object.with_suffix(f".{os.getpid()}.draft")
        command = [*self._compiler.command, *self._flags, *unit.flags, "-c", str(unit.source)]
        self._do(command, draft, unit.object, f"{unit.source.name} does not compile")
        if self._unit(unit.source) != unit:
            unit.object.unlink(missing_ok=True)
            raise CompilationError(f"{unit.source.name} changed while it was compiled; start again")

    def link(self, target: Path) -> None:
        """Make the library of all objects."""
        exports = self._objects / f"exports.{os.getpid()}.map"
        exports.write_text(_EXPORTS, encoding="ascii")
        draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
        command = [*self._compiler.command, "-shared", "-pthread", *(str(unit.object) for unit in self.units)]
        command += [*self._link_flags, f"-Wl,--build-id=0x{self.digest}", f"-Wl,--version-script={exports}"]
        try:
            self._do(command, draft, target, f"{target.name} does not link")
        finally:
            exports.unlink()

    def sweep(self) -> None:
        """Remove objects of these sources that nobody has used for long."""
        ours = {unit.object.name for unit in self.units}
        for path in self._objects.glob("*.o"):
            if path.name not in ours and time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink(missing_ok=True)

    def _do(self, command: Sequence[str], draft: Path, result: Path, failure: str) -> None:
        done = _run([*command, "-o", str(draft)])
        if done.returncode != 0:
            draft.unlink(missing_ok=True)
            raise CompilationError(f"{failure} with {self._compiler.version}:\n{done.stderr.strip()}")
        if done.stderr:
            sys.stderr.write(done.stderr)
        draft.replace(result)


def instruction_set(source: Path) -> tuple[str, ...]:
    """Give the flags of the instruction set that a file's name tells."""
    return next((flags for pattern, flags in _INSTRUCTION_SETS if fnmatch(source.name, pattern)), ())


def _with_headers(source: Path) -> Iterator[Path]:
    """List a file and what it includes by quotes, and so on, each once."""
    waiting, seen = [source.resolve()], set()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        yield path
        found = _INCLUDE.findall(path.read_bytes())
        waiting += [(path.parent / name.decode()).resolve() for name in sorted(found)]


def _bears(library: Path, digest: str) -> bool:
    return library.is_file() and bytes.fromhex(digest) in library.read_bytes()


def _digest(*parts: str | bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()[:_DIGEST_CHARACTERS]


def _run(command: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def main() -> int:
    """Build for a developer: into the plugin's folder, or where told."""
    parser = argparse.ArgumentParser(description="Compile the native kernels.")
    parser.add_argument("--target", type=Path, default=LIBRARY, help="the library (default: %(default)s)")
    target = parser.parse_args().target
    started = time.perf_counter()
    try:
        done = compile_library(target)
    except CompilationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    took = f"compiled in {time.perf_counter() - started:.1f} s" if done else "up to date"
    sys.stdout.write(f"{target}: {took}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
