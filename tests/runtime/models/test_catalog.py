from datetime import UTC, datetime, timedelta

import pytest

from homeport import BackendError, ModelInfo, ModelNotFoundError
from homeport.models.aliases import AliasTable
from homeport.models.catalog import Catalog
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

    async def models(self):
        raise BackendError("no connection")


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


async def test_newest_is_listed_first(open_catalog):
    """Lists are ordered by time, as Ollama's."""
    catalog = open_catalog(one=Offering(model("old"), model("new", days=1)))
    assert [info.name for info in await catalog.list()] == ["new", "old"]


async def test_backend_that_cannot_list_hides_nobody_elses_models(open_catalog):
    """One broken backend is no outage."""
    catalog = open_catalog(broken=Broken(), one=Offering(model("x")))
    assert (await catalog.get("x")).backend == "one"
    with pytest.raises(ModelNotFoundError):
        await catalog.get("y")
