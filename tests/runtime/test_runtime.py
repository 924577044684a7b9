import pytest

from homeport import (
    BackendKind,
    BackendSpec,
    GuardSpec,
    ModelNotFoundError,
    PluginError,
    Settings,
    hookimpl,
)
from homeport.config.settings import PluginSettings
from homeport.models.store import ModelStore
from homeport.runtime import Runtime
from homeport.testing.tiny_model import ChecksumConfig


class Tiny:
    @hookimpl
    def homeport_backends(self):
        factory = "homeport.testing.tiny_model:ChecksumModel"
        yield BackendSpec(name="tiny", kind=BackendKind.LOCAL, factory=factory, config=ChecksumConfig)


async def test_model_that_was_damaged_meanwhile_can_be_removed(tmp_path, install_tiny):
    """What the catalogue still lists and the store cannot read is removed all the same."""
    model = install_tiny(ModelStore(tmp_path / "models"))
    settings = Settings(home=tmp_path, plugins=PluginSettings(enabled=("tiny",)))
    async with Runtime.open(settings, plugins={"tiny": Tiny()}) as runtime:
        assert [info.name for info in await runtime.catalog.list()] == ["tiny:latest"]
        (model.folder / "config.json").write_text("{}")
        await runtime.remove("tiny")
        assert await runtime.catalog.list() == ()
        with pytest.raises(ModelNotFoundError):
            await runtime.remove("tiny")


class Careless:
    """Offers a guard that cannot work."""

    def __init__(self, **more):
        self._more = more

    @hookimpl
    def homeport_guards(self):
        return [GuardSpec(name="careless", factory="no_such_module:Guard", **self._more)]


@pytest.mark.parametrize("more", [{}, {"requires": ("no-such-distribution",)}])
async def test_guard_that_cannot_work_stops_the_start(tmp_path, more):
    """What a guard forbids is never allowed because the guard is broken; blocking it is a decision."""
    with pytest.raises(PluginError, match="careless"):
        async with Runtime.open(Settings(home=tmp_path), plugins={"careless": Careless(**more)}):
            pass
    blocked = Settings(home=tmp_path, plugins=PluginSettings(disabled=("careless",)))
    async with Runtime.open(blocked, plugins={"careless": Careless(**more)}):
        pass
