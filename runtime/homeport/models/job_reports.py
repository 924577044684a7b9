"""What a process that does one job for the host tells: one JSON object per line of its standard output.

It reads its job from standard input, which stays open: when it ends the host is gone, and the whole process
group ends with it. What others print goes to standard error.
"""

import errno
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from enum import StrEnum
from typing import BinaryIO, Generic, TypeVar

import attrs

from homeport.config.offline import stay_offline
from homeport.domain.errors import HomeportError, PluginError
from homeport.models.records import decode_record, encode_record

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REPORT_INTERVAL_SECONDS = 0.06
"""Ollama's own pace of progress lines."""


class Stage(StrEnum):
    """How far a job has come."""

    FETCHING = "fetching"
    VERIFYING = "verifying"
    CONVERTING = "converting"
    BUILDING = "building"
    DONE = "done"
    FAILED = "failed"


@attrs.frozen(kw_only=True)
class JobReport:
    """One line.

    Attributes:
        stage: How far it has come.
        item: What of the stage is done now; empty where there is one thing only.
        completed: Bytes done of this stage.
        total: Bytes in all; 0 where unknown.
        message: What failed; whoever asked for the model may read it.
        hint: How to mend it.
        cause: What the log may tell besides, such as paths.
        is_fault: Whether the cause is not in what the job was to do: the disk, a bug.
    """

    stage: Stage
    item: str = ""
    completed: int = 0
    total: int = 0
    message: str = ""
    hint: str | None = None
    cause: str = ""
    is_fault: bool = False


J = TypeVar("J", bound=attrs.AttrsInstance)
R = TypeVar("R", bound=JobReport)


class Reporter(Generic[R]):
    """Writes reports, of progress at most one per interval within a stage.

    Args:
        stream: Where to.
        kind: Class of the reports.
    """

    def __init__(self, stream: BinaryIO, kind: type[R]) -> None:
        self._stream = stream
        self._kind = kind
        self._lock = threading.Lock()
        self._last: tuple[Stage, str] | None = None
        self._last_time = 0.0

    def send(self, report: R) -> None:
        """Write a report now."""
        with self._lock:
            self._stream.write(encode_record(report, indent=None))
            self._stream.flush()

    def progress(self, stage: Stage, item: str, completed: int, total: int) -> None:
        """Write progress, unless it comes too soon after the last."""
        now = time.monotonic()
        is_due = now - self._last_time >= _REPORT_INTERVAL_SECONDS or completed == total
        if is_due or self._last != (stage, item):
            self._last, self._last_time = (stage, item), now
            self.send(self._kind(stage=stage, item=item, completed=completed, total=total))

    def failure(self, error: Exception, failed: str) -> None:
        """Tell what failed; what could name paths is for the log only."""
        if isinstance(error, HomeportError) and error.public_text is None:
            cause = _cause_beyond(error)
            self.send(self._kind(stage=Stage.FAILED, message=error.message, hint=error.hint, cause=cause))
            return
        kind, message, hint = type(error).__name__, failed, "the log has the details"
        if isinstance(error, OSError):
            kind = error.strerror or kind
            if error.errno in NO_ROOM:
                message = "the model cannot be written"
                hint = "remove models with: homeport rm NAME, or choose another folder with HOMEPORT_HOME"
        is_foreseen = isinstance(error, HomeportError) and not isinstance(error, PluginError)
        cause = str(error) if is_foreseen else "".join(traceback.format_exception(error))
        self.send(
            self._kind(
                stage=Stage.FAILED, message=f"{message}: {kind}", hint=hint, cause=cause, is_fault=True
            )
        )


def _cause_beyond(error: HomeportError) -> str:
    """Give the cause of an error; empty where its message says as much."""
    cause = error.__cause__
    return "" if cause is None or str(cause) in error.message else repr(cause)


def serve_job(job: type[J], report: type[R], work: Callable[[J, Reporter[R]], R], *, failed: str) -> int:
    """Do the job on standard input and give the exit code: 0 when the last report says how it ended.

    Args:
        job: Class of the job.
        report: Class of the reports.
        work: Does it, and gives the last report.
        failed: What the message of a failure begins with that says nothing for itself.
    """
    reporter = Reporter(_take_stdout(), report)
    stay_offline()
    try:
        wanted = decode_record(job, sys.stdin.buffer.readline())
        threading.Thread(target=_end_with_host, daemon=True).start()
        last = work(wanted, reporter)
    except Exception as error:  # noqa: BLE001 - the last resort: the host tells and logs it
        reporter.failure(error, failed)
    else:
        reporter.send(last)
    return 0


def _take_stdout() -> BinaryIO:
    """Keep standard output for reports; what others print there goes to standard error."""
    stream = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return stream


def _end_with_host() -> None:
    # The raw descriptor: a thread that waits inside a buffered reader aborts the interpreter on its way out.
    while os.read(sys.stdin.fileno(), 1):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
