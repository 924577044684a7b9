import os

import psutil

from homeport.worker.spawned import SpawnedWorker


async def test_a_worker_computes_on_one_pool_that_does_not_spin_for_long(monkeypatch):
    """Threads that spin fight for cores; users may say how long theirs do."""
    monkeypatch.setenv("OPENBLAS_THREAD_TIMEOUT", "12")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    worker = await SpawnedWorker.start(threads=3, log_level="INFO")
    variables = psutil.Process(worker.process.pid).environ()
    await worker.abort()
    assert variables["OMP_NUM_THREADS"] == variables["MKL_NUM_THREADS"] == "3"
    assert variables["GOMP_SPINCOUNT"] == "1000"
    assert variables["OPENBLAS_THREAD_TIMEOUT"] == "12"


async def test_a_process_that_was_ended_is_not_alive():
    """Its death is seen without asking the system again."""
    worker = await SpawnedWorker.start(threads=1, log_level="INFO")
    assert worker.is_alive
    await worker.abort()
    assert not worker.is_alive
    await worker.abort()


async def test_ctrl_c_at_the_terminal_does_not_reach_a_worker():
    """The host ends its workers itself; one that still imports would print where it was."""
    worker = await SpawnedWorker.start(threads=1, log_level="INFO")
    group = os.getpgid(worker.process.pid)
    await worker.abort()
    assert group == worker.process.pid
