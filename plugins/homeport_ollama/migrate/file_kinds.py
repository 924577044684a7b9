"""Which grammar a file has, by its name."""

import re
from enum import StrEnum
from pathlib import PurePath

_JSON = frozenset({".json", ".jsonc", ".code-workspace"})
_YAML = frozenset({".yaml", ".yml"})
_UNITS = frozenset({".service", ".socket", ".timer", ".container", ".pod"})
_TEXTS = re.compile(
    r"\.(sh|bash|zsh|fish|ps1|[cm]?[jt]s|[jt]sx|go|rs|rb|java|kt|cs|php|lua|ini|cfg|conf|properties|xml|tf|nix"
    r"|ipynb|mk|j2|tpl)"
)
_TEXT_NAMES = (
    "dockerfile",
    "containerfile",
    "makefile",
    "justfile",
    ".envrc",
    ".bashrc",
    ".profile",
    ".zshrc",
)
_LOCK_FILES = frozenset({"package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "composer.lock"})


class FileKind(StrEnum):
    """What a file is."""

    ENV = "env"
    UNIT = "systemd unit"
    JSON = "JSON"
    YAML = "YAML"
    TOML = "TOML"
    PYTHON = "Python"
    TEXT = "text"

    @property
    def is_editable(self) -> bool:
        """Whether ``migrate apply`` may edit it."""
        return self not in {FileKind.PYTHON, FileKind.TEXT}


def kind_of(path: PurePath) -> FileKind | None:
    """Tell the kind of a file; None where it is not looked into."""
    name, suffix = path.name.lower(), path.suffix.lower()
    if name in _LOCK_FILES:
        return None
    if suffix in _UNITS or (suffix == ".conf" and path.parent.name.endswith(".service.d")):
        return FileKind.UNIT
    if name == ".env" or name.startswith(".env.") or suffix == ".env":
        return FileKind.ENV
    by_suffix = {".toml": FileKind.TOML, ".py": FileKind.PYTHON}
    by_suffix |= dict.fromkeys(_JSON, FileKind.JSON) | dict.fromkeys(_YAML, FileKind.YAML)
    if suffix in by_suffix:
        return by_suffix[suffix]
    is_text = _TEXTS.fullmatch(suffix) or name.startswith(_TEXT_NAMES)
    return FileKind.TEXT if is_text else None
