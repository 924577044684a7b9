"""The model store and the starter model."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from homeport.cli import figures
from homeport.cli.checks.finding import Finding, failed, ok, warning
from homeport.domain.errors import StoreError
from homeport.models.names import ModelName
from homeport.models.store import ModelStore
from homeport.models.stored_model import StoredModel, StoreProblem

STARTER_MODEL = "smollm2:135m"


def model_findings(home: Path) -> Iterator[Finding]:
    """Look at what is installed, and hash every file of it: 0.3 s per 500 MB."""
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
    yield _starter({model.name for model in survey.models}, {problem.name for problem in problems})


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
