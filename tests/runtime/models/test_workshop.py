import asyncio
import json
import os
import shutil
import sys
import time

import attrs
import pytest
from loguru import logger

from homeport.domain.errors import PullError, StoreError
from homeport.domain.overload import CoolingError
from homeport.models.names import ModelName
from homeport.models.workshop import BuildError, Workshop
from homeport.plugin.records import StoredForm


@pytest.fixture
def model(store, install_tiny):
    """A model of the store."""
    return install_tiny(store)


def folders(store):
    """Names of all build folders."""
    return sorted(path.name for path in (store.root / "builds").glob("*"))


def staged(store):
    """What is left of work at hand."""
    return sorted((store.root / "incoming").glob("*"))


def age(*builds, days=8):
    """Let builds have been loaded some days ago for the last time."""
    then = time.time() - days * 24 * 3600
    for build in builds:
        os.utime(build.folder / "build.json", (then, then))


async def test_a_build_is_made_once_and_found_again(workshop, model, orders, store):
    """The first who asks has it built; later ones, after a restart too, find it."""
    assert workshop.find(model) is None
    build = await workshop.build(model)
    assert (build.folder / "built.bin").is_file()
    assert build.folder.parent == store.root / "builds"
    assert build.size_bytes == sum(path.stat().st_size for path in build.folder.iterdir()) - (
        (build.folder / "build.json").stat().st_size
    )
    assert "scripted_builder" not in sys.modules  # builders may be heavy: the host never imports one
    assert await workshop.build(model) == build == Workshop(orders.recipe(), store).find(model)
    assert orders.builds == 1
    assert staged(store) == []
    workshop.verify(build)


async def test_all_who_ask_at_once_share_a_build(workshop, model, orders, meeting):
    """Loads and pulls that come together have one build made."""
    orders.give(meeting=meeting.port)

    async def pull():
        return [step async for step in workshop.make(model)]

    async with asyncio.TaskGroup() as group:
        loads = [group.create_task(workshop.build(model)) for _ in range(3)]
        pulls = [group.create_task(pull()) for _ in range(2)]
        await meeting.dismiss()
    assert len({load.result().folder for load in loads}) == 1
    for steps in map(asyncio.Task.result, pulls):
        assert {step.status for step in steps} == {"building for scripted"}
        assert (steps[-1].completed, steps[-1].total) == (1000, 1000)
    assert orders.builds == 1


async def test_two_hosts_that_build_the_same_keep_the_first(workshop, model, orders, store, meeting):
    """What a worker of another process may have open is not replaced by its equal."""
    orders.give(meeting=meeting.port)
    neighbour = Workshop(orders.recipe(), store)
    async with asyncio.TaskGroup() as group:
        builds = [group.create_task(each.build(model)) for each in (workshop, neighbour)]
        guests = [await meeting.guests.get() for _ in builds]
        await meeting.guests.put(guests[0])
        await meeting.dismiss()
        done, _ = await asyncio.wait(builds, return_when=asyncio.FIRST_COMPLETED)
        file = done.pop().result().folder / "built.bin"
        first = file.stat().st_ino
        await meeting.guests.put(guests[1])
        await meeting.dismiss()
    assert file.stat().st_ino == first
    assert (orders.builds, staged(store)) == (2, [])


async def test_how_far_a_build_is_can_be_asked(workshop, model, orders, meeting):
    """Who asks need not follow it; before and after there is nothing to tell."""
    assert workshop.progress(model) is None
    orders.give(meeting=meeting.port)
    async with asyncio.TaskGroup() as group:
        group.create_task(workshop.build(model))
        guest = await meeting.guests.get()
        assert workshop.progress(model).status == "building for scripted"
        await meeting.guests.put(guest)
        await meeting.dismiss()
    assert workshop.progress(model) is None


async def test_a_build_goes_on_when_all_have_left(workshop, model, orders, meeting):
    """Who asks again finds the build that was begun for one who left."""
    orders.give(meeting=meeting.port)
    asking = asyncio.create_task(workshop.build(model))
    guest = await meeting.guests.get()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await meeting.guests.put(guest)
    again = asyncio.create_task(workshop.build(model))
    await meeting.dismiss()
    assert (await again).report.weights == "int8"
    assert orders.builds == 1


async def test_closing_ends_a_build_and_leaves_nothing(workshop, model, orders, store, meeting):
    """A closed workshop has no process and no file left; those who waited get an error."""
    orders.give(meeting=meeting.port, hangs=True)
    asking = asyncio.create_task(workshop.build(model))
    alive = await meeting.hanging()
    await workshop.aclose()
    assert await alive.read() == b""
    with pytest.raises(BuildError, match="interrupted"):
        await asking
    assert (staged(store), folders(store)) == ([], [])
    orders.give()
    with pytest.raises(BuildError, match="the host is closing"):
        await workshop.build(model)
    assert orders.builds == 1


HOST = """
import asyncio, json, sys
from pathlib import Path
from homeport.models.build_recipe import BuildRecipe
from homeport.models.names import ModelName
from homeport.models.records import structure_record
from homeport.models.store import ModelStore
from homeport.models.workshop import Workshop

async def main():
    store = ModelStore(Path(sys.argv[1]))
    recipe = structure_record(BuildRecipe, json.loads(sys.argv[2]))
    await Workshop(recipe, store).build(store.find(ModelName.parse("tiny")))

asyncio.run(main())
"""


async def test_a_killed_host_leaves_no_process_and_half_a_build_for_the_next_to_sweep(
    workshop, model, orders, store, meeting
):
    """When the host is killed the building process ends by itself; the next build starts cleanly."""
    orders.give(meeting=meeting.port, hangs=True)
    recipe = json.dumps(attrs.asdict(orders.recipe()))
    host = await asyncio.create_subprocess_exec(sys.executable, "-c", HOST, str(store.root), recipe)
    alive = await meeting.hanging()
    host.kill()
    await host.wait()
    assert await alive.read() == b""
    assert folders(store) == []
    assert list((store.root / "incoming").rglob("half"))
    orders.give()
    await workshop.build(model)
    assert staged(store) == []


async def test_a_failed_build_is_not_tried_again_at_once_but_by_a_pull(workshop, model, orders, store):
    """Loads are refused for a while with the time left; who pulls asks on purpose and is told the reason."""
    orders.give(ending="refuse")
    with pytest.raises(BuildError) as caught:
        await workshop.build(model)
    assert caught.value.message == "tiny:latest cannot be built for scripted: the yard is closed"
    assert caught.value.public_hint == "`homeport pull tiny:latest` builds it and tells why"
    with pytest.raises(CoolingError):
        await workshop.build(model)
    assert orders.builds == 1
    with pytest.raises(PullError, match="the yard is closed"):
        async for _ in workshop.make(model):
            pass
    assert (orders.builds, folders(store), staged(store)) == (2, [], [])
    orders.give()
    async for _ in workshop.make(model):
        pass
    assert await workshop.build(model) is not None


async def test_a_damaged_model_is_not_built(workshop, model, orders, tmp_path):
    """A build of weights that rotted would hide their damage for ever."""
    path = model.folder / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(StoreError, match=r"model 'tiny:latest' is damaged in the store: sha256 of tokenizer"):
        await workshop.build(model)
    assert orders.builds == 0


async def test_a_model_that_is_no_safetensors_is_loaded_as_it_is(workshop, model, orders):
    """Nothing is built of what another program exported."""
    exported = attrs.evolve(model, manifest=attrs.evolve(model.manifest, form=StoredForm.ONNX))
    assert workshop.find(exported) is None
    assert await workshop.build(exported) is None
    assert [step async for step in workshop.make(exported)] == []
    assert orders.builds == 0


async def test_another_setting_or_version_is_another_build(workshop, model, orders, store):
    """Changed settings and new versions of a builder never load what others made; old versions go."""
    first = await workshop.build(model)
    other = await Workshop(orders.recipe("strong"), store).build(model)
    assert other.folder != first.folder
    assert orders.builds == 2
    newer = attrs.evolve(first.record, key="ab" * 32, builder_version=2, files=())
    with store.staging() as folder:
        (folder / "build").mkdir()
        store.place_build(folder / "build", newer)
    assert folders(store) == ["ab" * 32]


async def test_a_sweep_leaves_what_is_loaded_now(workshop, model, orders, store, install_tiny):
    """Builds of other settings and of earlier versions go; those of other backends and all models stay."""
    other = install_tiny(store, "other")
    current = [await workshop.build(each) for each in (model, other)]
    strong = await Workshop(orders.recipe("strong"), store).build(model)
    neighbour = await Workshop(attrs.evolve(orders.recipe(), backend="another"), store).build(model)
    age(*current, strong, neighbour)
    with (strong.folder / "built.bin").open("rb") as mapped:
        await workshop.sweep()
        assert mapped.read().startswith(b"strong")
    assert set(folders(store)) == {build.folder.name for build in (*current, neighbour)}
    assert all(map(workshop.find, (model, other)))
    await Workshop(attrs.evolve(orders.recipe(), version=2), store).sweep()
    assert folders(store) == [neighbour.folder.name]


async def test_a_sweep_leaves_what_was_loaded_within_a_week(workshop, model, orders, store):
    """Settings are tried and taken back, and another server on the same store may have others."""
    strong = Workshop(orders.recipe("strong"), store)
    build = await strong.build(model)
    age(build, days=6)
    await workshop.sweep()
    age(build)
    strong.verify(build)
    await workshop.sweep()
    assert folders(store) == [build.folder.name]
    age(build)
    await workshop.sweep()
    assert folders(store) == []


async def test_a_sweep_removes_nothing_while_a_model_cannot_be_read(workshop, model, orders, store):
    """What cannot be judged stays; a store without a build is not touched."""
    await Workshop(orders.recipe(), store).sweep()
    revision = store.revision()
    await workshop.sweep()
    assert store.revision() == revision
    build = await Workshop(orders.recipe("strong"), store).build(model)
    age(build)
    (model.folder / "manifest.json").write_text("{")
    await workshop.sweep()
    assert folders(store) == [build.folder.name]


async def test_a_sweep_writes_only_where_something_goes(workshop, model, orders, store):
    """A store that cannot be written serves as before; what has to stay there is told."""
    kept = await workshop.build(model)
    strong = await Workshop(orders.recipe("strong"), store).build(model)
    age(kept, strong)
    lines = []
    handler = logger.add(lines.append, format="{level} {message}", level="INFO")
    try:
        await workshop.sweep()
        assert [line for line in lines if f"build {strong.record.key} is removed" in line] == lines
        (store.root / ".lock").unlink()
        (store.root / ".lock").mkdir()
        revision = store.revision()
        lines.clear()
        await workshop.sweep()
        assert (lines, store.revision()) == ([], revision)
        await Workshop(orders.recipe("strong"), store).sweep()
    finally:
        logger.remove(handler)
    (told,) = lines
    assert told.startswith("WARNING builds of earlier settings stay on disk: cannot write to the model store")
    assert folders(store) == [kept.folder.name]


async def test_models_of_equal_files_share_a_build_and_it_goes_with_the_last(
    workshop, model, orders, store, install_tiny
):
    """A model made from another one with texts of its own is not built again."""
    build = await workshop.build(model)
    made = attrs.evolve(model.manifest, source="create", system="Be brief.")
    with store.staging() as folder:
        shutil.copytree(model.folder, folder / "entry", ignore=shutil.ignore_patterns("manifest.json"))
        made = store.commit(folder / "entry", made, [ModelName.parse("made")])
    assert made.digest != model.digest
    assert await workshop.build(made) == build
    with (build.folder / "built.bin").open("rb") as opened:
        store.delete(model.name)
        assert workshop.find(made) == build
        store.delete(made.name)
        assert (folders(store), orders.builds) == ([], 1)
        assert opened.read().startswith(b"plain")


async def test_a_build_of_a_model_that_was_removed_meanwhile_is_not_kept(
    workshop, model, orders, store, meeting
):
    """Removing a model while it is built leaves nothing of it."""
    orders.give(meeting=meeting.port)
    asking = asyncio.create_task(workshop.build(model))
    guest = await meeting.guests.get()
    store.delete(model.name)
    await meeting.guests.put(guest)
    await meeting.dismiss()
    with pytest.raises(BuildError, match="removed at once"):
        await asking
    assert (folders(store), staged(store)) == ([], [])


def damage_record(folder):
    (folder / "build.json").write_text("{")


def damage_figures(folder):
    text = (folder / "build.json").read_text()
    (folder / "build.json").write_text(text.replace('"kv_bytes_per_token": 8', '"kv_bytes_per_token": -8'))


def name_another_file(folder):
    text = (folder / "build.json").read_text()
    (folder / "build.json").write_text(text.replace("built.bin", "../../built.bin"))


def say_another_key(folder):
    text = (folder / "build.json").read_text()
    (folder / "build.json").write_text(text.replace(folder.name, "ab" * 32))


def come_from_the_future(folder):
    text = (folder / "build.json").read_text()
    (folder / "build.json").write_text(text.replace('"version": 1,', '"version": 2,', 1))


def shorten(folder):
    (folder / "built.bin").write_bytes(b"short")


def add_a_file(folder):
    (folder / "libevil.so").write_bytes(b"")


def remove_the_record(folder):
    (folder / "build.json").unlink()


def become_a_link(folder):
    folder.rename(folder.parent.parent / "moved")
    folder.symlink_to(folder.parent.parent / "moved")


def become_a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("")


@pytest.mark.parametrize(
    "damage",
    [
        damage_record,
        damage_figures,
        name_another_file,
        say_another_key,
        come_from_the_future,
        shorten,
        add_a_file,
        remove_the_record,
        become_a_link,
        become_a_file,
    ],
)
async def test_a_damaged_build_is_made_anew(workshop, model, orders, damage):
    """Whatever became of a build or its record, it is never loaded, and a sound one takes its place."""
    build = await workshop.build(model)
    damage(build.folder)
    assert workshop.find(model) is None
    assert await workshop.build(model) == build
    workshop.verify(build)
    assert orders.builds == 2
    assert not build.folder.is_symlink()


async def test_a_build_whose_content_changed_is_dropped_when_it_is_verified(workshop, model, store):
    """Sizes are checked at each look, content when it is loaded."""
    build = await workshop.build(model)
    path = build.folder / "built.bin"
    path.write_bytes(b"!" * path.stat().st_size)
    assert workshop.find(model) == build
    with pytest.raises(StoreError, match=r"sha256 of built\.bin"):
        workshop.verify(build)
    assert folders(store) == []


async def test_damaged_builds_go_with_the_next_change_of_the_store(workshop, model, store, install_tiny):
    """What can never be loaded does not fill the disk; what cannot be judged stays."""
    build = await workshop.build(model)
    (store.root / "builds" / "stray").mkdir()
    install_tiny(store, "again")
    assert folders(store) == [build.folder.name]
    (model.folder / "manifest.json").write_text("{")
    (store.root / "builds" / "stray").mkdir()
    with pytest.raises(StoreError):
        store.find(model.name)
    store.delete(ModelName.parse("again"))
    assert build.folder.name in folders(store)
