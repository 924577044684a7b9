"""Tells ``homeport doctor`` whether models run on the native kernels here, and what it costs if not."""

import platform
import sys

from homeport import Finding, LoadError
from homeport_transformers.config import TransformersConfig
from homeport_transformers.native_library import LIBRARY_FILE, choose_isa, usable_isas

_COST = "several times slower"
_REBUILD = (
    "Run `apt install g++`, then install homeport again from where you got it: "
    "pip install --force-reinstall --no-deps --no-cache-dir ..."
)


def findings(config: TransformersConfig) -> list[Finding]:
    """Look for the library, and for the instructions that it would use."""
    if config.isa == "torch":
        return [Finding(ok=True, message=f"torch computes, {_COST} than native kernels, for isa is 'torch'")]
    if not LIBRARY_FILE.is_file():
        return [_absent(config.isa)]
    try:
        isa = choose_isa(config.isa, usable_isas())
    except LoadError as error:
        return [Finding(ok=False, message=error.message, hint=error.hint or _REBUILD, usable=False)]
    if isa is None:
        return [Finding(ok=True, message=f"this CPU lacks AVX2: torch computes, {_COST} than native kernels")]
    return [Finding(ok=True, message=f"native kernels are built, and use {isa.name} here")]


def _absent(wanted: str) -> Finding:
    if wanted != "auto":
        message = f"isa is {wanted!r}, but native kernels are not built: no model loads"
        return Finding(ok=False, message=message, hint=_REBUILD, usable=False)
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return Finding(ok=True, message="torch computes; native kernels are for x86-64 Linux")
    message = f"native kernels are not built: torch computes, {_COST}"
    return Finding(ok=False, message=message, hint=_REBUILD)
