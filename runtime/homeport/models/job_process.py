"""A process that does one job beside the host, as the host sees it."""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Generic, TypeVar

import attrs
from loguru import logger

from homeport.domain.errors import PullError, StoreError
from homeport.models.background import BackgroundTasks
from homeport.models.job_reports import JobReport, Stage
from homeport.models.records import decode_record, encode_record
from homeport.worker.exit_status import exit_words

_MAX_LINE_BYTES = 16 * 1024**2
"""Longest report: a manifest with its licence and template."""
_KEPT_LINES = 20
_KILLED_HINT = "Free some, or take a smaller model"
_GRACE_SECONDS = 1.0
"""How long what a dead process started may go on."""

R = TypeVar("R", bound=JobReport)


class JobFaultError(PullError):
    """A job that failed for a cause that is not in what it was to do: its process, the disk, a bug."""

    code = "job_failed"


class JobKilledError(JobFaultError):
    """A job whose process was killed by somebody else: the system, when memory ran out."""

    code = "job_killed"


@attrs.frozen(kw_only=True)
class JobKind(Generic[R]):
    """A kind of job.

    Attributes:
        name: For messages: ``fetching``.
        module: What is run.
        reports: Class of what it tells.
        most_silence_seconds: How long it may tell nothing until it counts as stuck; None for ever.
        killed_hint: What to do where memory was too short for it.
    """

    name: str
    module: str
    reports: type[R]
    most_silence_seconds: float | None = None
    killed_hint: str = _KILLED_HINT


async def run_job(kind: JobKind[R], job: attrs.AttrsInstance) -> AsyncGenerator[R, None]:
    """Run a process that does a job, and yield its reports up to the one that says it is done.

    Leaving early (``aclose``) kills the process and all it started.

    Args:
        kind: Of the job.
        job: Written to its standard input.

    Raises:
        PullError: What it was to do cannot be done.
        JobFaultError: It could not do it, or ended without a word.
        JobKilledError: It was killed.
    """
    async with _JobProcess.start(kind, job) as process:
        while (report := await process.next_report()) is not None:
            if report.stage is Stage.FAILED:
                if report.cause:
                    logger.error("{}: {}", report.message, report.cause)
                kind_of_error = JobFaultError if report.is_fault else PullError
                raise kind_of_error(report.message, hint=report.hint)
            yield report
            if report.stage is Stage.DONE:
                return
        raise await process.end()


class _JobProcess(Generic[R]):
    """A running job; leaving its context kills it and all it started."""

    def __init__(self, kind: JobKind[R], process: asyncio.subprocess.Process) -> None:
        self._kind = kind
        self._process = process
        self._last_words: deque[str] = deque(maxlen=_KEPT_LINES)

    @classmethod
    @asynccontextmanager
    async def start(cls, kind: JobKind[R], job: attrs.AttrsInstance) -> AsyncIterator["_JobProcess[R]"]:
        """Start it, with the job on its standard input, which stays open: its end tells that we died."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # nothing is imported from the folder that the host happens to stand in
            "-m",
            kind.module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_LINE_BYTES,
            start_new_session=True,
        )
        running = cls(kind, process)
        async with BackgroundTasks() as tasks:
            tasks.start(running._log(), name=f"log of {kind.name} process {process.pid}")
            try:
                assert process.stdin is not None  # noqa: S101 - a pipe was asked for
                process.stdin.write(encode_record(job, indent=None))
                yield running
            finally:
                running._kill()
                await process.wait()

    async def next_report(self) -> R | None:
        """Wait for its next report; None where it has ended.

        Raises:
            JobFaultError: It sent what is none, or nothing for too long.
        """
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        most_seconds = self._kind.most_silence_seconds
        try:
            async with asyncio.timeout(most_seconds):
                line = await self._process.stdout.readline()
            return decode_record(self._kind.reports, line) if line else None
        except TimeoutError as error:
            raise JobFaultError(
                f"the {self._kind.name} process told nothing for {most_seconds:g} s"
            ) from error
        except (StoreError, ValueError) as error:  # asyncio raises ValueError for a line beyond the limit
            raise JobFaultError(f"the {self._kind.name} process sent what is no report: {error}") from error

    async def end(self) -> PullError:
        """Say how it ended that was not done."""
        code, name = await self._exit_code(), self._kind.name
        how = "told no more and did not end" if code is None else f"ended ({exit_words(code)})"
        logger.error("{}", "\n".join([f"the {name} process {how}", *self._last_words]))
        if code is None:
            return JobFaultError(f"the {name} process {how}")
        if code == -signal.SIGKILL:
            killed = f"the {name} process was killed, most likely for lack of memory"
            return JobKilledError(killed, hint=self._kind.killed_hint)
        return JobFaultError(f"the {name} process ended with code {code} before it was done")

    async def _exit_code(self) -> int | None:
        """Wait for its end, and for that of its pipes, which what it started may hold open for ever.

        None where it did not end by itself.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_SECONDS):
                return await self._process.wait()
        code = self._process.returncode
        self._kill()
        await self._process.wait()
        return code

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
            logger.debug("{} process {}: {}", self._kind.name, self._process.pid, text)

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
