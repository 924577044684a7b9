import pytest_asyncio

from homeport.config.settings import ModelSettings
from homeport.models.background import BackgroundTasks
from homeport.models.loader import WorkerRecipe
from homeport.models.local import LocalBackend
from homeport.models.manager import ModelManager
from homeport.models.measurements import Measurements
from homeport.models.room import Room
from homeport.models.store import ModelStore
from homeport.testing.backend_conformance import BackendConformance


class TestLocalBackend(BackendConformance):
    """A model in a worker plays the role of a backend as a remote one does."""

    text_model = "tiny:latest"
    embedding_model = "tiny:latest"

    @pytest_asyncio.fixture(autouse=True)
    async def house(self, tmp_path, install_tiny):
        """A store with the tiny model, and somebody who owns the workers' tasks."""
        self._store = ModelStore(tmp_path / "models")
        install_tiny(self._store)
        async with BackgroundTasks() as self._tasks:
            yield

    def make_backend(self):
        recipe = WorkerRecipe(
            backend="checksum",
            factory="homeport.testing.tiny_model:ChecksumModel",
            config_class="homeport.testing.tiny_model:ChecksumConfig",
            config={},
        )
        manager = ModelManager(
            recipe=recipe,
            store=self._store,
            settings=ModelSettings(),
            room=Room(ModelSettings()),
            measurements=Measurements(),
            tasks=self._tasks,
            emit=lambda _: None,
        )
        return LocalBackend("checksum", self._store, manager)
