import asyncio
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from loguru import logger

from homeport import BackendError, ModelInfo, ModelNotFoundError
from homeport.domain.errors import NoBackendError
from homeport.models.aliases import AliasTable
from homeport.models.catalog import Catalog
from homeport.models.names import ModelName
from homeport.models.remote import RemoteBackend
from homeport.testing import EchoBackend

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def model(name, backend="one", days=0):
    return ModelInfo(name=name, digest="ab" * 32, backend=backend, modified_at=NOW + timedelta(days=days))


class Offering(EchoBackend):
    """Offers what it is given."""

    def __init__(self, *models):
        self._models = models

    async def models(self):
        return self._models


class Broken(EchoBackend):
    """Cannot list."""

    def __init__(self, error):
        self._error = error

    async def models(self):
        raise self._error


class Silent(EchoBackend):
    """Never answers what it offers."""

    async def models(self):
        await asyncio.Event().wait()


@pytest.fixture
def open_catalog():
    """Build a catalog of backends by name."""
    aliases = AliasTable.load()
    return lambda **backends: Catalog(backends, aliases)


async def test_model_is_found_by_all_its_names(open_catalog):
    """Tag left out, other case, alias, hub id: all mean the installed model."""
    catalog = open_catalog(one=Offering(model("smollm2:135m")))
    hub = "HuggingFaceTB/SmolLM2-135M-Instruct"
    for name in ("smollm2:135m", "SMOLLM2:135M", "smollm2", "smollm2:latest", hub, f"hf.co/{hub}"):
        assert (await catalog.get(name)).name == "smollm2:135m"


async def test_aliases_are_listed_and_say_whose_they_are(open_catalog):
    """A client that looks for its name in the list finds it."""
    catalog = open_catalog(one=Offering(model("smollm2:135m")))
    listed = {info.name: info.alias_of for info in await catalog.list()}
    assert listed["smollm2:135m"] == ""
    assert listed["smollm2:latest"] == "smollm2:135m"
    assert listed["HuggingFaceTB/SmolLM2-135M-Instruct:latest"] == "smollm2:135m"


async def test_model_that_bears_the_name_itself_wins_over_an_alias(open_catalog):
    """What is installed under a name is never hidden by the table."""
    catalog = open_catalog(one=Offering(model("smollm2:135m"), model("smollm2:latest")))
    assert (await catalog.get("smollm2")).name == "smollm2:latest"
    assert [info.alias_of for info in await catalog.list() if info.name == "smollm2:latest"] == [""]


async def test_preferred_backend_comes_first_and_lists_once(open_catalog):
    """Two backends may offer one model; candidates keep their order."""
    catalog = open_catalog(two=Offering(model("x", "two")), one=Offering(model("x", "one")))
    assert [candidate.backend for candidate in await catalog.candidates("x")] == ["two", "one"]
    assert [info.backend for info in await catalog.list()] == ["two"]


async def test_installed_model_that_nobody_can_run_is_no_unknown_model():
    """Without a backend the answer says what is missing, not that the model is."""
    catalog = Catalog({}, AliasTable.load(), lambda name: name == ModelName.parse("smollm2:135m"))
    with pytest.raises(NoBackendError, match="homeport plugins"):
        await catalog.get("smollm2")
    with pytest.raises(ModelNotFoundError):
        await catalog.get("another")


async def test_newest_is_listed_first(open_catalog):
    """Lists are ordered by time, as Ollama's."""
    catalog = open_catalog(one=Offering(model("old"), model("new", days=1)))
    assert [info.name for info in await catalog.list()] == ["new", "old"]


@pytest.fixture
def log():
    """Lines of the log."""
    lines = []
    handler = logger.add(lines.append, format="{message}")
    yield lines
    logger.remove(handler)


@pytest.mark.parametrize("error", [BackendError("no connection"), ValueError("a bug"), TypeError("another")])
async def test_backend_that_cannot_list_hides_nobody_elses_models(open_catalog, log, error):
    """One broken backend is no outage, however it fails, and one line in the log."""
    catalog = open_catalog(broken=Broken(error), one=Offering(model("x")))
    assert (await catalog.get("x")).backend == "one"
    with pytest.raises(ModelNotFoundError):
        await catalog.get("y")
    (line,) = log
    assert line.startswith("backend broken cannot list its models")


@pytest.mark.parametrize(
    ("offered", "fault"),
    [
        (model("my model!"), "its name is no model name"),
        (attrs.evolve(model("x"), name=None), "its name is no model name"),
        (attrs.evolve(model("x"), digest="aa"), "its digest is not 64 hexadecimal digits"),
        (attrs.evolve(model("x"), modified_at=datetime(2026, 1, 1)), "its modified_at is no datetime"),  # noqa: DTZ001
        (attrs.evolve(model("x"), modified_at=0), "its modified_at is no datetime"),
        ("x", "it is no ModelInfo"),
    ],
)
async def test_model_that_breaks_the_contract_is_left_out_and_told_once(open_catalog, log, offered, fault):
    """A wrong description harms neither the backend's other models nor anybody else's."""
    remote = RemoteBackend("remote", Offering(offered, model("fine", "remote")))
    catalog = open_catalog(remote=remote, one=Offering(model("y")))
    for _ in range(2):
        assert {info.name for info in await catalog.list()} == {"fine", "y"}
        assert (await catalog.get("y")).backend == "one"
    (line,) = log
    assert fault in line


async def test_backend_that_does_not_answer_is_not_waited_for(open_catalog, monkeypatch):
    """A list has a bound."""
    monkeypatch.setattr("homeport.models.remote.LISTING_TIMEOUT_SECONDS", 0.05)
    catalog = open_catalog(silent=RemoteBackend("silent", Silent()), one=Offering(model("x")))
    assert (await catalog.get("x")).backend == "one"
