import asyncio
import os
import signal

import psutil
import pytest

from homeport import LoadError, PluginError
from homeport.worker.cores import usable_cores
from homeport.worker.process import WorkerProcess
from homeport.worker.spare import SpareWorker

pytestmark = pytest.mark.skipif(usable_cores() == 1, reason="no worker is started ahead on one core")

THREADS = 1
"""Of the launches of these tests."""


def waiting(threads=THREADS, log_level="INFO"):
    return SpareWorker.waiting(threads=threads, log_level=log_level)


async def test_the_first_model_is_loaded_by_the_process_that_waits(running):
    """Its owner lets it go then, so that it lives as long as its model."""
    async with waiting() as spare:
        pid = spare.pid
        async with running(spare=spare) as worker:
            assert worker.pid == pid
            assert spare.pid is None
            await spare.close()
            assert psutil.pid_exists(pid)


async def test_a_process_is_prepared_for_a_backend(running, launch):
    """It has imported the backend by the time its model comes."""
    async with waiting() as spare:
        pid = spare.pid
        spare.prepare(launch().factory)
        async with running(spare=spare) as worker:
            assert worker.pid == pid


async def test_a_process_imports_the_backend_that_it_is_prepared_for(tmp_path, monkeypatch):
    """At once: no model has come yet."""
    seen = tmp_path / "seen"
    (tmp_path / "imported_ahead.py").write_text(f"open({str(seen)!r}, 'w').close()", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with waiting() as spare:
        spare.prepare("imported_ahead:Model")
        async with asyncio.timeout(10):
            while not seen.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.01)


async def test_a_process_prepared_for_another_backend_is_not_taken(running):
    """No worker holds the libraries of two backends."""
    async with waiting() as spare:
        spare.prepare("homeport.testing.tiny_model:ChecksumConfig")
        pid = spare.pid
        async with running(spare=spare) as worker:
            assert worker.pid != pid
            assert not psutil.pid_exists(pid)


async def test_a_backend_that_cannot_be_imported_is_told_when_its_model_is_loaded(launch):
    """What fails ahead of time ends no process."""
    async with waiting() as spare:
        spare.prepare("homeport.testing.no_such:Model")
        with pytest.raises(PluginError, match="cannot import 'homeport"):
            await WorkerProcess.start(launch(factory="homeport.testing.no_such:Model"), spare=spare)


async def test_later_models_get_processes_of_their_own(running):
    """What waits is taken once."""
    async with waiting() as spare, running(spare=spare) as first, running(spare=spare) as second:
        assert first.pid != second.pid


@pytest.mark.parametrize("settings", [{"threads": THREADS + 1}, {"log_level": "ERROR"}])
async def test_a_process_of_other_settings_is_not_taken(running, settings):
    """Threads and logs are settled when a process starts; one that fits nothing ends."""
    async with waiting(**settings) as spare:
        pid = spare.pid
        async with running(spare=spare) as worker:
            assert worker.pid != pid
            assert spare.pid is None
            assert not psutil.pid_exists(pid)


async def test_a_process_that_died_is_replaced(running):
    """Nobody notices that it died but the next load, which does as if there never was one."""
    async with waiting() as spare:
        pid = spare.pid
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            while psutil.pid_exists(pid):  # noqa: ASYNC110 - the system tells nobody when it was reaped
                await asyncio.sleep(0.01)
        async with running(spare=spare) as worker:
            assert worker.pid != pid


async def test_a_process_that_nobody_takes_ends_with_its_owner():
    """Nothing is left behind."""
    async with waiting() as spare:
        pid = spare.pid
    assert not psutil.pid_exists(pid)


async def test_a_process_that_nobody_takes_in_time_ends():
    """What nobody needs gives its memory back."""
    async with waiting() as spare:
        pid = spare.pid
        await spare.expire(0)
        assert spare.pid is None
        assert not psutil.pid_exists(pid)


async def test_a_host_starts_without_a_process_ahead(monkeypatch):
    """Where none can be started, the first load tells why."""
    monkeypatch.setattr("homeport.worker.spawned.sys.executable", "/no/such/python")
    async with waiting() as spare:
        assert spare.pid is None
        assert await spare.take(factory="a:B", threads=THREADS, log_level="INFO") is None


@pytest.fixture
def one_core():
    """Leave this process one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    yield
    os.sched_setaffinity(0, cores)


@pytest.mark.usefixtures("one_core")
async def test_no_process_is_started_ahead_on_one_core():
    """The host comes first where both cannot run at once."""
    async with waiting() as spare:
        assert spare.pid is None


async def test_a_launch_that_fails_ends_the_process_that_it_took(launch, tmp_path):
    """A process is the business of whoever took it."""
    async with waiting() as spare:
        pid = spare.pid
        with pytest.raises(LoadError, match=r"config\.json"):
            await WorkerProcess.start(launch(path=tmp_path), spare=spare)
        assert not psutil.pid_exists(pid)
