"""Runs the tests of the native library against a build with AddressSanitizer and UndefinedBehaviorSanitizer.

Run it from the checkout, with what else pytest should hear::

    python plugins/homeport_transformers/native/sanitize.py -k matmul
"""

import os
import subprocess
import sys

from compile import (
    LIBRARY_NAME,
    OBJECTS,
    SOURCES,
    CompilationError,
    compile_library,
    find_compiler,
    shared_runtime,
)

TESTS = SOURCES.parents[2] / "tests" / "plugins" / "homeport_transformers" / "native"

_RUNTIMES = ("libasan.so", "libstdc++.so.6")
"""ASan must come before everything in the process, and finds ``__cxa_throw`` only behind it."""


def main() -> int:
    """Build and run pytest. Where there is no compiler nothing is tested, and that is told."""
    target = OBJECTS / "sanitized" / LIBRARY_NAME
    try:
        find_compiler()
    except CompilationError as error:
        sys.stderr.write(f"SKIPPED, nothing was tested: {error}\n")
        return 0
    try:
        compile_library(target, sanitize=True)
        preload = " ".join(str(shared_runtime(name)) for name in _RUNTIMES)
    except CompilationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    environment = {
        **os.environ,
        "HOMEPORT_NATIVE_LIBRARY": str(target),
        "LD_PRELOAD": preload,
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    # The conftest of the folder above imports torch, which these tests do without. A captured standard error
    # would end with the process, and the report with it.
    options = [f"--rootdir={SOURCES.parents[2]}", f"--confcutdir={TESTS}", "--capture=sys"]
    arguments = [*options, str(TESTS), *sys.argv[1:]]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
