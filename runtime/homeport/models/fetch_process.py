"""The process that fetches and converts one model, as the host sees it."""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

from loguru import logger

from homeport.domain.errors import PullError, StoreError
from homeport.models.background import BackgroundTasks
from homeport.models.fetch_job import FetchJob, FetchReport, Stage
from homeport.models.records import decode_record, encode_record

_MAX_LINE_BYTES = 16 * 1024**2
"""Longest report: a manifest with its licence and template."""
_KEPT_LINES = 20
_GRACE_SECONDS = 1.0
"""How long what a dead process started may go on."""


class FetchProcess:
    """A running fetch; leaving its context kills it and all it started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._last_words: deque[str] = deque(maxlen=_KEPT_LINES)

    @classmethod
    @asynccontextmanager
    async def start(cls, job: FetchJob) -> AsyncIterator["FetchProcess"]:
        """Start it, with the job on its standard input, which stays open: its end tells that we died."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # nothing is imported from the folder that the host happens to stand in
            "-m",
            "homeport.models.fetching",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_LINE_BYTES,
            start_new_session=True,
        )
        running = cls(process)
        async with BackgroundTasks() as tasks:
            tasks.start(running._log(), name=f"log of fetching process {process.pid}")
            try:
                assert process.stdin is not None  # noqa: S101 - a pipe was asked for
                process.stdin.write(encode_record(job, indent=None))
                yield running
            finally:
                running._kill()
                await process.wait()

    async def reports(self) -> AsyncGenerator[FetchReport, None]:
        """Yield its reports up to the one that says it is done.

        Raises:
            PullError: It failed, or ended without a word.
        """
        while (report := await self._next_report()) is not None:
            if report.stage is Stage.FAILED:
                if report.cause:
                    logger.error("{}: {}", report.message, report.cause)
                raise PullError(report.message, hint=report.hint)
            yield report
            if report.stage is Stage.DONE:
                return
        code = await self._exit_code()
        logger.error("the fetching process ended with code {}: {}", code, "\n".join(self._last_words))
        raise PullError(f"the fetching process ended with code {code} before it was done")

    async def _next_report(self) -> FetchReport | None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            line = await self._process.stdout.readline()
            return decode_record(FetchReport, line) if line else None
        except (StoreError, ValueError) as error:  # asyncio raises ValueError for a line beyond the limit
            raise PullError(f"the fetching process sent what is no report: {error}") from error

    async def _exit_code(self) -> int:
        """Wait for its end, and for that of its pipes, which what it started may hold open for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_SECONDS):
                return await self._process.wait()
        self._kill()
        return await self._process.wait()

    async def _log(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - a pipe was asked for
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # a line beyond the limit, which the reader has thrown away
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self._last_words.append(text)
            logger.debug("fetching process {}: {}", self._process.pid, text)

    def _kill(self) -> None:
        """Kill the process and all it started."""
        with suppress(ProcessLookupError, PermissionError):
            if self._process.returncode is not None and _exists(self._process.pid):
                return  # a stranger has its number, which is given away only when its group is empty
            os.killpg(self._process.pid, signal.SIGKILL)


def _exists(pid: int) -> bool:
    try:
        os.getpgid(pid)
    except ProcessLookupError:
        return False
    return True
