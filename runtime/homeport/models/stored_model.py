"""What the store tells of its models: one of them, and all, with those that cannot be used."""

from datetime import datetime
from pathlib import Path

import attrs

from homeport.domain.errors import StoreError
from homeport.domain.models import Capability, ModelInfo
from homeport.engine.template_traits import capabilities_of_template
from homeport.models.build_record import Build
from homeport.models.manifest import Manifest
from homeport.models.names import ModelName


@attrs.frozen(kw_only=True)
class StoredModel:
    """A model of the store under one of its names.

    Attributes:
        name: The name it was asked for by.
        manifest: What is known of it.
        digest: Name of its entry, 64 hexadecimal digits.
        folder: Where its files are, in Hugging Face layout.
        modified_at: When the name was given, in UTC.
        size: Bytes of its files.
    """

    name: ModelName
    manifest: Manifest
    digest: str
    folder: Path
    modified_at: datetime
    size: int

    def info(self, backend: str, build: Build | None = None) -> ModelInfo:
        """Describe it as offered by a backend.

        Args:
            backend: Its name.
            build: What it loads in the model's place, where it has one.
        """
        manifest = self.manifest
        return ModelInfo(
            name=self.name.display,
            digest=self.digest,
            backend=backend,
            size_bytes=self.size,
            modified_at=self.modified_at,
            capabilities=_capabilities(manifest),
            family=manifest.family,
            parameter_count=manifest.parameter_count,
            quantization=manifest.quantization,
            format=manifest.form.value,
            weights=manifest.weights,
            weights_note=manifest.weights_note,
            bits_per_weight=manifest.bits_per_weight,
            context_length=manifest.context_length,
            embedding_length=manifest.embedding_length,
            license=manifest.license,
            template=manifest.template,
            written_template=manifest.written_template,
            system=manifest.system,
            messages=manifest.messages,
            parent=manifest.parent,
            requires=manifest.requires,
            parameters=manifest.parameters,
            facts=manifest.facts,
            build=None if build is None else build.info(),
            continues=True,
        )


@attrs.frozen
class StoreProblem:
    """A name whose entry cannot be used, and why."""

    name: ModelName
    error: StoreError


@attrs.frozen
class Survey:
    """All names of a store: those that can be used, newest first, and those that cannot."""

    models: tuple[StoredModel, ...]
    problems: tuple[StoreProblem, ...]


def _capabilities(manifest: Manifest) -> frozenset[Capability]:
    """Add what the template tells to what the weights can do."""
    if Capability.COMPLETION not in manifest.capabilities:
        return manifest.capabilities
    return manifest.capabilities | capabilities_of_template(manifest.template)
