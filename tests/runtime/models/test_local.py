from homeport.models.local import LocalBackend
from homeport.models.names import ModelName
from homeport.models.store import ModelStore


async def test_listing_follows_what_another_process_installs_and_removes(tmp_path, install_tiny):
    """The store is read again when it changed, whoever changed it."""
    root = tmp_path / "models"
    backend = LocalBackend("checksum", ModelStore(root), manager=None)
    assert list(await backend.models()) == []
    another = ModelStore(root)
    install_tiny(another, "one")
    assert [model.name for model in await backend.models()] == ["one:latest"]
    install_tiny(another, "two")
    assert {model.name for model in await backend.models()} == {"one:latest", "two:latest"}
    another.delete(ModelName.parse("one"))
    assert [model.name for model in await backend.models()] == ["two:latest"]
    assert await backend.models() is await backend.models()
