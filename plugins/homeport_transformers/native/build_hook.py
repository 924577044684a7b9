"""Lets hatch put the native library into the wheel; without a compiler the wheel is a pure one."""

import os
import sysconfig
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PACKAGE = "homeport_transformers"
_EDITABLE = "editable"
_OFF_VARIABLE = "HOMEPORT_NO_NATIVE"


class NativeLibraryHook(BuildHookInterface[BuilderConfig]):
    """Compiles before a wheel is packed.

    An editable install gets the library into the source tree, where the package then lies. A wheel gets it
    from the folder of objects, and with it the platform in its tag. ``HOMEPORT_NO_NATIVE=1`` leaves it out.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatch where the library is; a failure is a warning."""
        if os.environ.get(_OFF_VARIABLE):
            self.app.display_warning(f"no native kernels: {_OFF_VARIABLE} is set")
            return
        compiling = _load_compile(Path(self.root) / "plugins" / _PACKAGE / "native" / "compile.py")
        in_place = version == _EDITABLE
        target = compiling.LIBRARY if in_place else compiling.OBJECTS / compiling.LIBRARY_NAME
        try:
            compiling.compile_library(target)
        except (compiling.CompilationError, OSError) as error:
            self.app.display_warning(f"no native kernels, models will run several times slower: {error}")
            return
        if not in_place:
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{_platform_tag()}"
            build_data["force_include"][str(target)] = f"{_PACKAGE}/{compiling.LIBRARY_NAME}"


def _platform_tag() -> str:
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


def _load_compile(path: Path) -> ModuleType:
    """Import the compiler script, which lies in no package."""
    spec = spec_from_file_location("homeport_native_compile", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
