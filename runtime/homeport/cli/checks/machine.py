"""Processor, memory and disk."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from homeport.cli import figures
from homeport.cli.checks.finding import Finding, failed, ok, warning
from homeport.worker.cores import usable_cores

_CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
"""Instructions that make CPU inference fast, as Linux names them."""

_ENOUGH_MEMORY_BYTES = 2 * 10**9
_LEAST_MEMORY_BYTES = 5 * 10**8
"""The starter model with its worker takes about this much."""

_ENOUGH_DISK_BYTES = 5 * 10**9
_LEAST_DISK_BYTES = 10**9
_CGROUP = Path("/sys/fs/cgroup")


def machine_findings(home: Path) -> Iterator[Finding]:
    """Look at what the hardware, and the container around us, lets us use."""
    yield _instructions(Path("/proc/cpuinfo"))
    yield _cores()
    yield _memory()
    yield _disk(home)


def _instructions(cpuinfo: Path) -> Finding:
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return warning("instructions", f"{cpuinfo} cannot be read", fix="Run homeport on Linux to see them")
    flags = next((line.split() for line in text.splitlines() if line.startswith(("flags", "Features"))), [])
    present = [flag for flag in _CPU_FLAGS if flag in flags]
    absent = [flag for flag in _CPU_FLAGS if flag not in flags]
    native = "native bfloat16" if {"avx512_bf16", "amx_bf16"} & {*present} else "no native bfloat16"
    return ok(
        "instructions", f"{native}; has {', '.join(present) or 'none'}; lacks {', '.join(absent) or 'none'}"
    )


def _cores() -> Finding:
    return ok("cores", f"{usable_cores()} usable of {os.cpu_count()}, by affinity and cgroup quota")


def memory_limit(file: Path) -> int | None:
    """Read a cgroup's ``memory.max`` in bytes; None where there is no limit."""
    words = _words(file)
    return int(words[0]) if words and words[0].isdigit() else None


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    limit = memory_limit(_CGROUP / "memory.max")
    free = memory.available if limit is None else min(memory.available, limit)
    seen = f"{figures.size(memory.available)} free of {figures.size(memory.total)}"
    seen += f", cgroup limit {figures.size(limit)}" if limit is not None else ""
    fix = "Free memory: `homeport ps` shows what models take, `homeport stop MODEL` ends one"
    if free < _LEAST_MEMORY_BYTES:
        return failed(
            "memory", f"{seen}; even the starter model needs {figures.size(_LEAST_MEMORY_BYTES)}", fix=fix
        )
    if free < _ENOUGH_MEMORY_BYTES:
        return warning("memory", f"{seen}; models above 0.5B parameters will not fit", fix=fix)
    return ok("memory", seen)


def _disk(home: Path) -> Finding:
    existing = next(folder for folder in (home, *home.absolute().parents) if folder.is_dir())
    if not os.access(existing, os.W_OK):
        return failed("disk", f"{existing} may not be written", fix="Choose another: homeport --home DIR ...")
    free = shutil.disk_usage(existing).free
    seen = f"{figures.size(free)} free for {home}"
    fix = "Remove models with `homeport rm MODEL`, or choose another disk: homeport --home DIR ..."
    if free < _LEAST_DISK_BYTES:
        return failed("disk", seen, fix=fix)
    if free < _ENOUGH_DISK_BYTES:
        return warning("disk", seen, fix=fix)
    return ok("disk", seen)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []
