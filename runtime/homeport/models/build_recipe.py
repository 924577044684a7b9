"""Who makes builds, and by which settings: what decides, with a model's files, over what is in one."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import attrs

from homeport.config.structuring import unstructure
from homeport.models.manifest import ModelFile
from homeport.plugin.imports import reference_to
from homeport.plugin.model_builder import BuildPlan
from homeport.plugin.records import BackendSpec


@attrs.frozen(kw_only=True)
class BuildRecipe:
    """How one backend's builds are made.

    Attributes:
        backend: Its name.
        builder: Import string of its ``ModelBuilder``.
        version: Of that.
        config_class: Import string of its attrs configuration; None where it has none.
        config: Plain values for it, but those of settings declared with ``builds=False``, which decide over
            running only.
    """

    backend: str
    builder: str
    version: int
    config_class: str | None = None
    config: Mapping[str, Any] = attrs.field(factory=dict)

    @classmethod
    def of(cls, record: BackendSpec, config: attrs.AttrsInstance | None) -> "BuildRecipe | None":
        """Give the recipe of a backend; None where it loads models as they are stored.

        Args:
            record: Of the backend.
            config: Its settings; None where it has none.
        """
        if record.builder is None:
            return None
        return cls(
            backend=record.name,
            builder=record.builder,
            version=record.builder_version,
            config_class=None if config is None else reference_to(type(config)),
            config={} if config is None else _deciding(config),
        )

    def key(self, files: tuple[ModelFile, ...], plan: BuildPlan) -> str:
        """Name the build of a model: models with equal files share it; 64 hexadecimal digits.

        Args:
            files: Of the model's entry.
            plan: What is wanted of the build.
        """
        identity = {
            "files": source_of(files),
            "backend": self.backend,
            "version": self.version,
            "config": dict(self.config),
            "quantisation": plan.quantisation.value,
            "group": plan.group,
        }
        return _sha256(identity)


def _deciding(config: attrs.AttrsInstance) -> dict[str, Any]:
    idle = {field.name for field in attrs.fields(type(config)) if not field.metadata.get("builds", True)}
    return {name: value for name, value in unstructure(config).items() if name not in idle}


def source_of(files: tuple[ModelFile, ...]) -> str:
    """Name what is built, the files of an entry whatever else its manifest says; 64 hexadecimal digits."""
    return _sha256(sorted([file.path, file.sha256] for file in files))


def _sha256(tree: object) -> str:
    canonical = json.dumps(tree, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()
