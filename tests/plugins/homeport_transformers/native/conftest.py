"""The native library, from where the environment says, as installed, or built from the checkout.

These tests run under sanitizers too, with neither torch nor the fixtures of the folders above.
"""

import ctypes
import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import hypothesis
import pytest

from homeport_transformers.native_library import LIBRARY_FILE, bind

COMPILE_FILE = Path(__file__).parents[4] / "plugins" / "homeport_transformers" / "native" / "compile.py"

LIBRARY_VARIABLE = "HOMEPORT_NATIVE_LIBRARY"

# Sanitizers, and other work on the machine, make everything several times slower.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


def load_compile():
    """Import the script that compiles the library; it is in no package."""
    spec = spec_from_file_location("homeport_native_compile", COMPILE_FILE)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def library_file() -> Path:
    """The library: ``HOMEPORT_NATIVE_LIBRARY``, the installed one if it is of these sources, or a new one."""
    given = os.environ.get(LIBRARY_VARIABLE)
    if given:
        return Path(given)
    compiling = load_compile()
    try:
        compiling.find_compiler()
    except compiling.CompilationError as error:
        if LIBRARY_FILE.is_file():
            return LIBRARY_FILE
        pytest.skip(f"the native library is not installed, and cannot be built: {error}")
    if compiling.is_current(LIBRARY_FILE):
        return LIBRARY_FILE
    built = compiling.OBJECTS / compiling.LIBRARY_NAME
    compiling.compile_library(built)
    return built


@pytest.fixture(scope="session")
def library(library_file) -> ctypes.CDLL:
    """The library with its functions declared."""
    return bind(library_file)
