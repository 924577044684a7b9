"""Wheels, and the command line in real processes whose environment knows nothing of the developer's."""

import os
import subprocess
import sys
import sysconfig
import venv
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROCESS_TIMEOUT_SECONDS = 120


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Variables of a user who has set nothing but a home of their own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HOMEPORT_", "OLLAMA_", "XDG_", "PIP_", "PYTEST_"))
        and name not in {"LOG_LEVEL", "PYTHONPATH"}
    }
    home = tmp_path_factory.mktemp("home")
    return {**kept, "HOME": str(home), "HOMEPORT_HOME": str(home / "homeport")}


@pytest.fixture(scope="session")
def python(environment):
    """Run an interpreter with arguments to its end; a failure shows what it said."""

    def run(*arguments, interpreter=sys.executable, cwd=None, code=0, **variables):
        done = subprocess.run(
            [interpreter, *map(str, arguments)],
            env={**environment, **variables},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=PROCESS_TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def build_wheel(python, tmp_path_factory):
    """Build the wheel of a project, with the build backend that is installed here."""

    def build(project, **variables):
        folder = tmp_path_factory.mktemp("wheel")
        options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
        python("-m", "pip", "wheel", *options, project, **variables)
        (wheel,) = folder.glob("*.whl")
        return wheel

    return build


@pytest.fixture(scope="session")
def wheel(build_wheel):
    """The project's own wheel."""
    return build_wheel(ROOT)


@pytest.fixture(scope="session")
def install(python, tmp_path_factory):
    """Install a wheel into a fresh environment that sees the packages of this one; gives its interpreter."""

    def into_a_new_environment(wheel):
        folder = tmp_path_factory.mktemp("environment")
        venv.create(folder, symlinks=True)
        interpreter = folder / "bin" / "python"
        here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (packages,) = folder.glob("lib/python*/site-packages")
        lines = [f"import site; site.addsitedir({path!r})\n" for path in sorted(here)]
        (packages / "packages-of-the-parent.pth").write_text("".join(lines))
        options = ("--quiet", "--no-deps", "--no-index", "--ignore-installed")
        python("-m", "pip", "--python", interpreter, "install", *options, wheel)
        return interpreter

    return into_a_new_environment


@pytest.fixture(scope="session")
def compiling():
    """The script that compiles the native library; it is in no package."""
    path = ROOT / "plugins" / "homeport_transformers" / "native" / "compile.py"
    spec = spec_from_file_location("homeport_native_compile", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
