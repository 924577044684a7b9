"""One build of the store, and the file that describes it."""

import math
from pathlib import Path
from typing import Any

import attrs

from homeport.domain.models import BuildInfo
from homeport.models.manifest import ModelFile
from homeport.models.records import FORMAT_VERSION
from homeport.plugin.model_builder import BuildReport

BUILD_FILE = "build.json"
_is_sha256 = attrs.validators.matches_re(r"[0-9a-f]{64}")


def _check_report(_: object, __: "attrs.Attribute[Any]", report: BuildReport) -> None:
    figures = (report.bits_per_weight, *report.figures.values())
    if not all(map(math.isfinite, figures)) or min(report.bits_per_weight, report.kv_bytes_per_token) < 0:
        raise ValueError(f"report has figures that no build has: {report!r:.200}")


@attrs.frozen(kw_only=True)
class BuildRecord:
    """What the store knows of a build: one JSON file in its folder.

    Attributes:
        version: Format of this file.
        key: Name of its folder, see ``BuildRecipe.key``.
        source: What was built, see ``source_of``.
        backend: For which backend.
        builder: Import string of what built it.
        builder_version: Of that.
        report: What became of the model.
        files: All files of the folder but this one.
    """

    version: int = FORMAT_VERSION
    key: str = attrs.field(validator=_is_sha256)
    source: str = attrs.field(validator=_is_sha256)
    backend: str
    builder: str
    builder_version: int
    report: BuildReport = attrs.field(validator=_check_report)
    files: tuple[ModelFile, ...]


@attrs.frozen(kw_only=True)
class Build:
    """A build that a backend can load.

    Attributes:
        record: What is known of it.
        folder: Where its files are.
    """

    record: BuildRecord
    folder: Path

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.record.files)

    @property
    def report(self) -> BuildReport:
        """What became of the model."""
        return self.record.report

    def info(self) -> BuildInfo:
        """Describe it."""
        return BuildInfo(
            key=self.record.key,
            size_bytes=self.size_bytes,
            weights=self.report.weights,
            weights_note=self.report.note,
            bits_per_weight=self.report.bits_per_weight,
            kv_bytes_per_token=self.report.kv_bytes_per_token,
            figures=dict(self.report.figures),
        )
