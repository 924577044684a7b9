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
from homeport.models.fetch_job import FetchJob, FetchReport, Stage
from homeport.models.records import decode_record, encode_record

_MAX_LINE_BYTES = 16 * 1024**2
"""Longest report: a manifest with its licence and template."""
_KEPT_LINES = 20


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
            "-m",
            "homeport.models.fetching",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_LINE_BYTES,
            start_new_session=True,
        )
        running = cls(process)
        listening = asyncio.create_task(running._log())
        try:
            assert process.stdin is not None  # noqa: S101 - a pipe was asked for
            process.stdin.write(encode_record(job, indent=None))
            yield running
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            await listening

    async def reports(self) -> AsyncGenerator[FetchReport, None]:
        """Yield its reports up to the one that says it is done.

        Raises:
            PullError: It failed, or ended without a word.
        """
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        async for line in self._process.stdout:
            try:
                report = decode_record(FetchReport, line)
            except StoreError as error:
                raise PullError(f"the fetching process sent what is no report: {error.message}") from error
            if report.stage is Stage.FAILED:
                raise PullError(report.message, hint=report.hint)
            yield report
            if report.stage is Stage.DONE:
                return
        code = await self._process.wait()
        logger.error("the fetching process ended with code {}: {}", code, "\n".join(self._last_words))
        raise PullError(f"the fetching process ended with code {code} before it was done")

    async def _log(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - a pipe was asked for
        async for line in self._process.stderr:
            text = line.decode(errors="replace").rstrip()
            self._last_words.append(text)
            logger.debug("fetching process {}: {}", self._process.pid, text)
