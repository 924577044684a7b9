import pytest

from homeport.config.settings import ModelSettings
from homeport.models.background import BackgroundTasks
from homeport.models.loader import WorkerRecipe
from homeport.models.local import LocalBackend
from homeport.models.manager import ModelManager
from homeport.models.measurements import Measurements
from homeport.models.names import ModelName
from homeport.models.room import Room
from homeport.models.store import ModelStore


@pytest.fixture
def make_backend():
    """Build a local backend on a store."""

    def make(store):
        manager = ModelManager(
            recipe=WorkerRecipe(backend="checksum", factory="homeport.testing.tiny_model:ChecksumModel"),
            store=store,
            settings=ModelSettings(),
            room=Room(ModelSettings()),
            measurements=Measurements(),
            tasks=BackgroundTasks(),
            emit=lambda _: None,
        )
        return LocalBackend("checksum", store, manager, slots=4)

    return make


async def test_listing_follows_what_another_process_installs_and_removes(
    tmp_path, install_tiny, make_backend
):
    """The store is read again when it changed, whoever changed it."""
    root = tmp_path / "models"
    backend = make_backend(ModelStore(root))
    assert list(await backend.models()) == []
    another = ModelStore(root)
    install_tiny(another, "one")
    assert [model.name for model in await backend.models()] == ["one:latest"]
    install_tiny(another, "two")
    assert {model.name for model in await backend.models()} == {"one:latest", "two:latest"}
    another.delete(ModelName.parse("one"))
    assert [model.name for model in await backend.models()] == ["two:latest"]
    assert await backend.models() is await backend.models()
