"""The model store and the starter model."""

from collections.abc import Iterator
from pathlib import Path

from homeport.cli.checks.finding import Finding, failed, ok, warning
from homeport.domain.errors import StoreError
from homeport.models.names import ModelName
from homeport.models.store import ModelStore

STARTER_MODEL = "smollm2:135m"


def model_findings(home: Path) -> Iterator[Finding]:
    """Look at what is installed, and whether it is whole."""
    store = ModelStore(home / "models")
    survey = store.survey()
    for problem in survey.problems:
        name = problem.name.display
        yield failed("models", f"{name}: {problem.error.message}", fix=f"homeport pull --force {name}")
    if not survey.problems:
        yield ok("models", f"{len(survey.models)} installed in {store.root}")
    yield _starter(store)


def _starter(store: ModelStore) -> Finding:
    try:
        stored = store.find(ModelName.parse(STARTER_MODEL))
    except StoreError as error:
        return failed("starter model", error.message, fix=f"homeport pull --force {STARTER_MODEL}")
    if stored is None:
        return warning(
            "starter model", f"{STARTER_MODEL} is not installed", fix=f"homeport pull {STARTER_MODEL}"
        )
    return ok("starter model", f"{STARTER_MODEL} is installed")
