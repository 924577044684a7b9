import asyncio
from contextlib import asynccontextmanager

import pytest

from homeport import LoadPlan
from homeport.worker.process import WorkerLaunch, WorkerProcess


@pytest.fixture
def launch(tiny_folder):
    """Describe a worker of the checksum model."""

    def describe(
        slots=4,
        path=tiny_folder,
        factory="homeport.testing.tiny_model:ChecksumModel",
        load_timeout_seconds=60,
        step_timeout_seconds=15,
        **config,
    ):
        return WorkerLaunch(
            model="tiny:latest",
            factory=factory,
            config_class="homeport.testing.tiny_model:ChecksumConfig",
            config=config,
            path=path,
            plan=LoadPlan(context_length=512, slots=slots, threads=1),
            load_timeout_seconds=load_timeout_seconds,
            step_timeout_seconds=step_timeout_seconds,
        )

    return describe


@pytest.fixture
def running(launch):
    """Start a worker, listen to it, and close it at the end."""

    @asynccontextmanager
    async def start(spare=None, **options):
        worker = await WorkerProcess.start(launch(**options), spare=spare)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.listen())
            try:
                yield worker
            finally:
                await worker.close()

    return start
