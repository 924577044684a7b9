import asyncio
import json

import pytest

from homeport import BackendError, DeadlineError, InvalidRequestError
from homeport.gateway.routing.standings import MOST_ENTRIES, Standings, Track
from homeport.gateway.target import TargetKey

KEY = TargetKey("here", "a:1b")
ROW = (
    b'{"rows": [{"backend": "b", "model": "m", "task": "", '
    b'"success_rate": %s, "latency_seconds": %s, "calls": 1}]}'
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "standings.json"


async def load(path):
    return await asyncio.to_thread(Standings.load, path)


async def test_new_member_is_neutral():
    """What was never called counts as sure, and its latency as unknown."""
    assert Standings().track(KEY, "chat") == Track(success_rate=1.0, latency_seconds=None)


async def test_outcomes_are_smoothed_by_task():
    """One outlier moves a figure a little; a task that is unknown is taken from all tasks."""
    standings = Standings()
    for _ in range(20):
        standings.observe(KEY, "summary", error=None, first_token_seconds=1.0)
    standings.observe(KEY, "summary", error=BackendError("down"), first_token_seconds=11.0)
    track = standings.track(KEY, "summary")
    assert (track.latency_seconds, track.success_rate) == (pytest.approx(3.0), pytest.approx(0.9))
    assert standings.track(KEY, "chat") == track
    standings.observe(KEY, "chat", error=None, first_token_seconds=0.5)
    assert standings.track(KEY, "chat").latency_seconds == 0.5


@pytest.mark.parametrize(
    "error", [InvalidRequestError("bad"), asyncio.CancelledError(), DeadlineError("total", 0.001)]
)
async def test_what_is_not_the_targets_fault_does_not_count(error):
    """A bad request, a client that left or gave no time say nothing about the backend."""
    standings = Standings()
    standings.observe(KEY, "", error=error, first_token_seconds=None)
    assert standings.track(KEY, "").calls == 0


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
async def test_impossible_times_are_not_believed(seconds):
    """A broken clock leaves no trace."""
    standings = Standings()
    standings.observe(KEY, "", error=None, first_token_seconds=seconds)
    assert standings.track(KEY, "").latency_seconds is None


async def test_figures_survive_a_restart(path):
    """What was written is there again, trials too; only that it is fresh is not."""
    standings = await load(path)
    standings.observe(KEY, "summary", error=BackendError("down"), first_token_seconds=2)
    standings.note_trial("canary")
    await standings.flush()
    again = await load(path)
    track = again.track(KEY, "summary")
    assert (track.latency_seconds, track.success_rate, track.calls) == (2.0, pytest.approx(0.9), 1)
    assert standings.track(KEY, "summary").is_fresh
    assert not track.is_fresh
    assert again.trial_requests("canary") == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[1, 2]",
        b'{"rows": "many"}',
        b'{"version": 99}',
        ROW % (b"7.0", b"null"),
        ROW % (b"1.0", b"NaN"),
        ROW % (b"1.0", b'"fast"'),
    ],
)
async def test_damaged_file_is_set_aside(path, data):
    """A damaged file is kept under another name, and remembering begins anew."""
    path.parent.mkdir()
    path.write_bytes(data)
    standings = await load(path)
    assert standings.track(KEY, "").calls == 0
    (aside,) = path.parent.iterdir()
    assert aside.name.startswith("standings.json.damaged-")
    assert aside.read_bytes() == data
    standings.observe(KEY, "", error=None, first_token_seconds=1.0)
    await standings.flush()
    assert (await load(path)).track(KEY, "").calls == 1


async def test_memory_is_bounded(path):
    """Names that clients make up push out the oldest and no figure that is in use, and are cut."""
    standings = await load(path)
    for number in range(MOST_ENTRIES):
        standings.observe(KEY, f"task {number}", error=None, first_token_seconds=1.0)
    standings.observe(KEY, "x" * 10_000, error=None, first_token_seconds=1.0)
    await standings.flush()
    rows = json.loads(path.read_bytes())["rows"]
    assert len(rows) == MOST_ENTRIES
    assert max(len(row["task"]) for row in rows) <= 64
    assert next(row["calls"] for row in rows if not row["task"]) == MOST_ENTRIES + 1


async def test_file_that_cannot_be_written_harms_nobody(path):
    """A full or read-only disk costs the memory of a restart, nothing else; writing is tried again."""
    path.parent.write_text("a file where a folder should be")
    standings = Standings(path)
    standings.observe(KEY, "", error=None, first_token_seconds=1.0)
    await standings.flush()
    path.parent.unlink()
    await standings.flush()
    assert (await load(path)).track(KEY, "").calls == 1
