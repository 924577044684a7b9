"""What the host and a building process say to each other: one JSON object per line, typed on both sides."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import attrs

from homeport.models.build_recipe import BuildRecipe
from homeport.models.job_process import JobKind, run_job
from homeport.models.job_reports import JobReport
from homeport.models.manifest import ModelFile
from homeport.plugin.model_builder import BuildPlan, BuildReport


@attrs.frozen(kw_only=True)
class BuildJob:
    """What a building process is to do; it reads it from its standard input.

    Attributes:
        recipe: Who builds.
        source: Folder of the model, which is only read.
        into: Folder of the build; made where there is none, else empty.
        plan: What is wanted.
    """

    recipe: BuildRecipe
    source: str
    into: str
    plan: BuildPlan


@attrs.frozen(kw_only=True)
class BuildStep(JobReport):
    """How far a build is.

    Attributes:
        report: What became of it; None before the last step.
        files: All that is in its folder then.
    """

    report: BuildReport | None = None
    files: tuple[ModelFile, ...] = ()


BUILDING = JobKind(
    name="building",
    module="homeport.models.building",
    reports=BuildStep,
    most_silence_seconds=2 * 3600.0,
    killed_hint="Free memory, or take fewer bits for its weights, a smaller model, or another backend",
)
"""One that is stuck would hold up all others; the longest silence is that of a check."""


async def build_model(
    recipe: BuildRecipe, source: Path, into: Path, plan: BuildPlan
) -> AsyncGenerator[BuildStep, None]:
    """Build a model in a process of its own; the last step has the report.

    Leaving early (``aclose``) kills the process; what it wrote is its caller's to remove.

    Args:
        recipe: Who builds.
        source: Folder of the model, as an entry of the store; only read.
        into: Folder of the build; made where there is none, else empty. It shares no file with the source.
        plan: What is wanted.

    Raises:
        PullError: It cannot be built as asked, or failed its check.
        JobKilledError: Its process was killed, most likely for lack of memory.
    """
    job = BuildJob(recipe=recipe, source=str(source), into=str(into), plan=plan)
    async with aclosing(run_job(BUILDING, job)) as steps:
        async for step in steps:
            yield step
