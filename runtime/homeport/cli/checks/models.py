"""The model store and the starter model."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from homeport.cli import figures
from homeport.cli.checks.finding import Finding, failed, ok, warning
from homeport.domain.errors import StoreError
from homeport.models.build_recipe import source_of
from homeport.models.names import ModelName
from homeport.models.store import ModelStore
from homeport.models.stored_model import StoredModel, StoreProblem

if TYPE_CHECKING:
    from homeport.models.build_record import Build, BuildRecord

STARTER_MODEL = "smollm2:135m"
_FIX = "Nothing needs to be done: a damaged build is made anew when its model is loaded next"


def model_findings(home: Path) -> Iterator[Finding]:
    """Look at what is installed, and hash every file of it and of builds: 0.3 s per 500 MB."""
    store = ModelStore(home / "models")
    survey = store.survey()
    started = time.perf_counter()
    problems = (*survey.problems, *_altered(store, survey.models))
    for problem in problems:
        name = problem.name.display
        yield failed("models", f"{name}: {problem.error.message}", fix=_pull_again(name))
    if not problems:
        size = figures.size(sum({model.digest: model.size for model in survey.models}.values()))
        seconds = time.perf_counter() - started
        yield ok(
            "models",
            f"{len(survey.models)} installed in {store.root}, {size} verified in {seconds:.1f} s",
        )
    yield from _builds(store, survey.models)
    yield _starter({model.name for model in survey.models}, {problem.name for problem in problems})


def _builds(store: ModelStore, models: Sequence[StoredModel]) -> Iterator[Finding]:
    """Hash what backends made of the models; nothing is told where there is no build."""
    names = {source_of(model.manifest.files): model.name.display for model in models}
    started = time.perf_counter()
    sound: list[Build] = []
    for key in store.builds.keys():  # noqa: SIM118 - no mapping
        build = store.builds.find(key)
        if build is None:
            told = f"build {key} is damaged: its files are not those of its record"
            yield warning("builds", f"{_maker(store, key, names)}: {told}", fix=_FIX)
            continue
        try:
            store.builds.verify(build)
        except StoreError as error:
            yield warning("builds", f"{_named(build.record, names)}: {error.message}", fix=_FIX)
        else:
            sound.append(build)
    if sound:
        size = figures.size(sum(build.size_bytes for build in sound))
        seconds = time.perf_counter() - started
        yield ok("builds", f"{len(sound)} beside the models, {size} verified in {seconds:.1f} s")


def _maker(store: ModelStore, key: str, names: Mapping[str, str]) -> str:
    """Name the model of a build that cannot be used, as far as its record can be read."""
    try:
        record = store.builds.record(key)
    except (StoreError, OSError):
        return "a model that cannot be told, for the record is damaged too"
    return _named(record, names)


def _named(record: "BuildRecord", names: Mapping[str, str]) -> str:
    """Name the model of a build, and the backend that loads it."""
    return f"{names.get(record.source, 'a model that was removed')}, {record.backend}"


def _altered(store: ModelStore, models: Sequence[StoredModel]) -> Iterator[StoreProblem]:
    """Verify each entry once, whatever number of names it has."""
    found: dict[str, StoreError | None] = {}
    hashed: dict[tuple[int, int], str] = {}
    for model in models:
        if model.digest not in found:
            found[model.digest] = _verify(store, model, hashed)
        error = found[model.digest]
        if error is not None:
            yield StoreProblem(model.name, error)


def _verify(store: ModelStore, model: StoredModel, hashed: dict[tuple[int, int], str]) -> StoreError | None:
    try:
        store.verify(model, hashed)
    except StoreError as error:
        return error
    return None


def _starter(installed: set[ModelName], damaged: set[ModelName]) -> Finding:
    name = ModelName.parse(STARTER_MODEL)
    if name in damaged:
        return failed("starter model", f"{STARTER_MODEL} is damaged", fix=_pull_again(STARTER_MODEL))
    if name not in installed:
        return warning(
            "starter model", f"{STARTER_MODEL} is not installed", fix=f"homeport pull {STARTER_MODEL}"
        )
    return ok("starter model", f"{STARTER_MODEL} is installed")


def _pull_again(name: str) -> str:
    return f"homeport pull {name} --force"
