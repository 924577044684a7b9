import asyncio
import os
from contextlib import aclosing

import attrs
import pytest
from loguru import logger

from homeport import BuildPlan, PullError
from homeport.models.build_job import BUILDING, BuildJob, build_model
from homeport.models.job_process import JobKilledError, run_job

PLAN = BuildPlan(threads=3, room_bytes=10**9)


@pytest.fixture
def source(tmp_path):
    """A model with files of each kind."""
    folder = tmp_path / "source"
    content = {
        "config.json": "{}",
        "tokenizer.json": "[]",
        "1_Pooling/config.json": "[1]",
        "model.safetensors": "weights",
        "model-00001-of-00002.safetensors": "weights",
        "model.safetensors.index.json": "{}",
        "manifest.json": "{}",
    }
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


async def build(recipe, source, into, plan=PLAN):
    async with aclosing(build_model(recipe, source, into, plan)) as steps:
        return [step async for step in steps]


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


async def test_a_build_has_what_the_engine_reads_and_what_the_builder_wrote(orders, source, tmp_path):
    """The files of a model but its weights are in its build; all are listed with sizes and hashes."""
    into = tmp_path / "into"
    steps = await build(orders.recipe("strong"), source, into)
    made = ["1_Pooling/config.json", "built.bin", "config.json", "tokenizer.json"]
    assert names(into) == [file.path for file in steps[-1].files] == made
    assert (into / "built.bin").read_bytes().startswith(b"strong 3\n")
    assert (steps[-1].report.weights, steps[-1].report.figures) == ("int8", {"tokens": 5.0})
    assert [(step.completed, step.total) for step in steps[:2]] == [(0, 1000), (1000, 1000)]


async def test_a_builder_that_changes_a_file_does_not_change_the_model(orders, source, tmp_path):
    """A build shares no file with its model, so that what is written in place stays in the build."""
    orders.give(changes="config.json")
    await build(orders.recipe(), source, tmp_path / "into")
    assert (tmp_path / "into" / "config.json").read_text() == "!}"
    assert (source / "config.json").read_text() == "{}"


async def test_a_full_disk_of_an_export_is_not_told_as_the_stores(orders, source, tmp_path):
    """What lies in the store has nothing to do with the disk that an export goes to."""
    orders.give(largest_file=500)
    with pytest.raises(PullError, match="the disk that the export goes to has no room for it") as caught:
        await build(orders.recipe(), source, tmp_path / "into", attrs.evolve(PLAN, is_portable=True))
    assert "--to DIR" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"ending": "refuse"}, "the yard is closed. come back tomorrow"),
        ({"ending": "err"}, "building failed: ValueError. the log has the details"),
        ({"ending": "exit"}, "the building process ended with code 3"),
        ({"ending": "crash"}, "the building process ended with code -6"),
        (
            {"ending": "killed"},
            "the building process was killed, most likely for lack of memory. Free memory, or take fewer",
        ),
        ({"ending": "mute"}, "the building process told no more and did not end"),
        ({"size": 2 * 10**9}, "the build needs 2000000000 bytes, 1000000000 are free"),
        ({"largest_file": 500}, "the model cannot be written: File too large. remove models"),
        ({"file": "a b.onnx"}, "the build holds a file of the name 'a b.onnx', which cannot be kept"),
        ({"link": True}, "the build holds 'link', which is no regular file"),
        ({"returns": "done"}, "ScriptedBuilder gave 'done', expected a BuildReport"),
        ({"tells": {"kv_bytes_per_token": -1}}, "tells a size below 0"),
        ({"tells": {"figures": {"top1_agreement": float("nan")}}}, "says that top1_agreement is nan"),
        ({"tells": {"bits_per_weight": "many"}}, "building failed: ValueError"),
    ],
)
async def test_a_builder_that_fails_is_told_with_its_reason(orders, source, tmp_path, given, complaint):
    """A builder that refuses, dies, fills the disk, or leaves or tells rubbish harms nobody else."""
    orders.give(**given)
    with pytest.raises(PullError) as caught:
        await build(orders.recipe(), source, tmp_path / "into")
    assert complaint in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


async def test_a_killed_builder_is_one_line_of_the_log(orders, source, tmp_path):
    """It names the signal; where it had no last words nothing stands for them."""
    lines = []
    handler = logger.add(lines.append, format="{message}", level="ERROR")
    orders.give(ending="killed")
    with pytest.raises(JobKilledError):
        await build(orders.recipe(), source, tmp_path / "into")
    logger.remove(handler)
    (line,) = lines
    told = "the building process ended (signal 9, SIGKILL: most likely memory ran out)"
    assert line.splitlines()[0] == told


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"builder": "scripted_builder:Nobody"}, "building failed: PluginError"),
        ({"config": {"flavours": 3}}, "building failed: ConfigError"),
        ({"version": 2}, "ScriptedBuilder has version 1, its plugin declares 2. Restart homeport"),
    ],
)
async def test_a_builder_that_is_not_what_was_declared_is_refused(
    orders, source, tmp_path, changes, complaint
):
    """A build under a key of another builder, version or settings is never made."""
    recipe = attrs.evolve(orders.recipe(), **changes)
    with pytest.raises(PullError) as caught:
        await build(recipe, source, tmp_path / "into")
    assert complaint in str(caught.value)
    assert orders.builds == 0


async def test_leaving_kills_the_builder_and_what_it_started(orders, source, tmp_path, meeting):
    """A build that nobody waits for has no process any more."""
    orders.give(meeting=meeting.port, hangs=True)
    steps = build_model(orders.recipe(), source, tmp_path / "into", PLAN)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(anext(steps))
        alive = await meeting.hanging()
        waiting.cancel()
    await steps.aclose()
    assert await alive.read() == b""


async def test_a_builder_that_is_stuck_is_ended(orders, source, tmp_path, meeting):
    """A build that tells nothing for too long does not hold up all others for ever."""
    orders.give(meeting=meeting.port, hangs=True)
    kind = attrs.evolve(BUILDING, most_silence_seconds=0.5)
    job = BuildJob(recipe=orders.recipe(), source=str(source), into=str(tmp_path / "into"), plan=PLAN)
    with pytest.raises(PullError, match=r"the building process told nothing for 0\.5 s"):
        async for _ in run_job(kind, job):
            pass


async def test_a_build_gives_way_to_those_who_serve(orders, source, tmp_path):
    """It takes the cores that others leave, and is the first to end where memory runs out."""
    await build(orders.recipe(), source, tmp_path / "into")
    _, niceness, score = orders.log.read_text().split()
    assert int(niceness) > os.nice(0)
    assert int(score) >= 500
