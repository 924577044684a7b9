import asyncio
import hashlib
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import attrs
import pytest
from loguru import logger

from homeport import Artifact, LoadError, ModelInfo
from homeport.domain.errors import ModelNotFoundError
from homeport.domain.overload import CoolingError
from homeport.models.aliases import AliasTable
from homeport.models.background import BackgroundTasks
from homeport.models.names import ModelName
from homeport.models.pull import Puller, PullSource
from homeport.models.shelves import Shelves


@attrs.define
class Attic:
    """A source with models that lie on this machine."""

    stored: tuple[str, ...]
    error: Exception | None = None

    def models(self):
        if self.error is not None:
            raise self.error
        now = datetime.now(UTC)
        return [
            ModelInfo(
                name=name,
                digest=hashlib.sha256(name.encode()).hexdigest(),
                backend="",
                modified_at=now,
                origin="attic",
            )
            for name in self.stored
        ]

    def locate(self, locator):
        return Artifact("attic", locator) if locator in self.stored else None

    def fetch(self, artifact, into, progress):
        raise NotImplementedError


@pytest.fixture
def shelves(store):
    """Shelves whose models cannot be converted: the process that fetches them finds no such source."""

    @asynccontextmanager
    async def make(attic):
        source = PullSource(source=attic, factory="no_such_module:Attic")
        async with BackgroundTasks() as tasks:
            puller = Puller(store, AliasTable.load(), {"attic": source})
            yield Shelves({"attic": attic}, puller, tasks)
            await puller.aclose()

    return make


async def test_names_that_are_none_and_shelves_that_fail_are_left_out(shelves):
    """A source is a plugin: what it lists is looked at, and it may raise."""
    async with shelves(Attic(("good", "a/b/c/d", "x y"))) as attic:
        assert [name.display for name in attic.listed()] == ["good:latest"]
    async with shelves(Attic(("good",), OSError("away"))) as attic:
        assert attic.listed() == {}
        assert not await attic.bring(ModelName.parse("good"))


async def test_a_shelf_that_fails_is_told_of_once(shelves):
    """Every request asks for the list; a line is written when the failure begins, and when it changes."""
    lines = []
    handle = logger.add(lines.append, level="WARNING", format="{message}")
    attic = Attic(("good",), OSError("away"))
    async with shelves(attic) as shelved:
        for error in (OSError("away"), OSError("away"), OSError("gone"), None, OSError("gone")):
            attic.error = error
            shelved.listed()
    logger.remove(handle)
    assert [line.rpartition(" ")[2].strip() for line in lines] == [
        "OSError('away')",
        "OSError('gone')",
        "OSError('gone')",
    ]


async def test_what_no_shelf_has_is_not_brought(shelves):
    """The caller says that it is not found."""
    async with shelves(Attic(("good",))) as attic:
        assert not await attic.bring(ModelName.parse("other"))


async def test_a_model_that_cannot_be_taken_over_is_tried_once_per_pause(shelves):
    """All who wait hear why at once; who comes next is told to wait."""
    async with shelves(Attic(("bad",))) as attic:
        wanted = ModelName.parse("bad")
        heard = await asyncio.gather(*(attic.bring(wanted) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(error, LoadError) for error in heard)
        assert "cannot be taken over from attic" in str(heard[0])
        assert heard[0].public_message == "the model could not be loaded"
        assert heard[0].public_hint.startswith("`homeport pull bad")
        with pytest.raises(CoolingError):
            await attic.bring(wanted)


async def test_whoever_leaves_does_not_stop_the_taking_over(shelves):
    """The work goes on for the others."""
    async with shelves(Attic(("bad",))) as attic:
        wanted = ModelName.parse("bad")
        first = asyncio.ensure_future(attic.bring(wanted))
        second = asyncio.ensure_future(attic.bring(wanted))
        await asyncio.wait([first], timeout=0.01)
        first.cancel()
        with pytest.raises(LoadError):
            await second


async def test_closing_ends_a_taking_over(shelves):
    """Who still waits is told that it was interrupted."""
    async with shelves(Attic(("bad",))) as attic:
        waiting = asyncio.ensure_future(attic.bring(ModelName.parse("bad")))
        await asyncio.wait([waiting], timeout=0.01)
    with pytest.raises((LoadError, ModelNotFoundError)):
        await waiting
