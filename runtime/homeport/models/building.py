"""A process that builds one model for a backend: ``python -m homeport.models.building``.

It reads a ``BuildJob`` from its standard input and writes a ``BuildStep`` per line to its standard output.
"""

import math
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from homeport.domain.errors import PullError
from homeport.models.build_job import BuildJob, BuildStep
from homeport.models.durable import regular_size, sha256_of
from homeport.models.job_reports import NO_ROOM, Reporter, Stage, serve_job
from homeport.models.manifest import MANIFEST_FILE, ModelFile
from homeport.plugin.imports import construct
from homeport.plugin.model_builder import BuildPlan, BuildReport

if TYPE_CHECKING:
    from homeport.plugin.model_builder import ModelBuilder

_WEIGHTS = (".safetensors", ".safetensors.index.json")
_NICENESS = 5
"""Requests come first: a build takes the cores that they leave."""
_OUT_OF_MEMORY_SCORE = 500
"""Of 1000: where memory runs out the system ends a build, which can be made again, rather than a host or a
model that serves."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_NUMPY_THREADS = "OPENBLAS_NUM_THREADS"
"""Set to 1: threads of OpenBLAS 0.3.31 spin, and on cores that others use two take 7 times as long as one.
Builders cut their products for threads of their own."""


def main() -> int:
    """Do the job on standard input; the exit code is 0 when the last step says how it ended."""
    _give_way()
    return serve_job(BuildJob, BuildStep, build, failed="building failed")


def _give_way() -> None:
    """Let those who serve go first, for cores and for memory."""
    os.nice(_NICENESS)
    place = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):  # systems other than Linux have none
        score = max(int(place.read_text(encoding="ascii")), _OUT_OF_MEMORY_SCORE)
        place.write_text(str(score), encoding="ascii")


def build(job: BuildJob, reporter: Reporter[BuildStep]) -> BuildStep:
    """Build a model into the job's folder.

    Raises:
        PullError: With what failed and how to mend it.
    """
    with _target_faults(job.plan):
        return _build(job, reporter)


@contextmanager
def _target_faults(plan: BuildPlan) -> Iterator[None]:
    """Tell of a full disk as one of the place that an export goes to, which is not the store's.

    Raises:
        PullError: In the place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        if not plan.is_portable or error.errno not in NO_ROOM:
            raise
        raise PullError(
            f"the disk that the export goes to has no room for it: {error.strerror}",
            hint="Make room there, or name a folder on another disk: --to DIR",
        ) from error


def _build(job: BuildJob, reporter: Reporter[BuildStep]) -> BuildStep:
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(job.plan.threads)), **{_NUMPY_THREADS: "1"})
    source, into = Path(job.source), Path(job.into)
    _copy_described(source, into)
    recipe = job.recipe
    builder: ModelBuilder = construct(recipe.builder, recipe.config_class, recipe.config)
    if builder.version != recipe.version:
        message = (
            f"{recipe.builder} has version {builder.version!r:.40}, its plugin declares {recipe.version}"
        )
        raise PullError(message, hint="Restart homeport: the plugin may have been updated while it ran")
    progress = partial(reporter.progress, Stage.BUILDING, "")
    report = _checked(recipe.builder, builder.build(source, into, job.plan, progress))
    reporter.progress(Stage.VERIFYING, "", 0, 0)
    return BuildStep(stage=Stage.DONE, report=report, files=tuple(_files(into)))


def _copy_described(source: Path, into: Path) -> None:
    """Put all into the build that the engine reads of a model: its files but weights.

    They are copied rather than linked, for a builder may change them in place: 2.2 MB of the starter model.
    """
    into.mkdir(exist_ok=True)
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        is_weights = path.name.endswith(_WEIGHTS) or relative.as_posix() == MANIFEST_FILE
        if regular_size(path) is not None and not is_weights:
            (into / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, into / relative, follow_symlinks=False)


def _checked(builder: str, report: object) -> BuildReport:
    """Give a report whose values are what it says they are: they come from a plugin, and are kept.

    Raises:
        PullError: One is no number, or out of range.
    """
    if not isinstance(report, BuildReport):
        raise PullError(f"{builder} gave {report!r:.80}, expected a BuildReport")
    figures = {str(name): float(value) for name, value in report.figures.items()}
    sound = attrs.evolve(
        report,
        weights=str(report.weights),
        note=str(report.note),
        bits_per_weight=float(report.bits_per_weight),
        kv_bytes_per_token=int(report.kv_bytes_per_token),
        figures=figures,
    )
    told = {
        **figures,
        "bits_per_weight": sound.bits_per_weight,
        "kv_bytes_per_token": float(sound.kv_bytes_per_token),
    }
    for name, value in told.items():
        if not math.isfinite(value):
            raise PullError(f"{builder} says that {name} is {value}, expected a finite number")
    if min(sound.bits_per_weight, sound.kv_bytes_per_token) < 0:
        raise PullError(f"{builder} tells a size below 0: {sound}")
    return sound


def _files(folder: Path) -> Iterator[ModelFile]:
    """Describe all files of a build.

    Raises:
        PullError: The store cannot keep one.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        name, size = path.relative_to(folder).as_posix(), regular_size(path)
        if size is None:
            raise PullError(f"the build holds {name!r:.140}, which is no regular file")
        try:
            yield ModelFile(path=name, size=size, sha256=sha256_of(path))
        except ValueError as error:
            raise PullError(
                f"the build holds a file of the name {name!r:.140}, which cannot be kept"
            ) from error


if __name__ == "__main__":
    sys.exit(main())
