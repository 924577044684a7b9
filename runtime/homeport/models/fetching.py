"""A process that fetches and converts one model: ``python -m homeport.models.fetching``.

It reads a ``FetchJob`` from its standard input and writes a ``FetchReport`` per line to its standard
output. What a source prints goes to standard error. When standard input ends the host is gone, and the
whole process group ends with it.
"""

import errno
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import BinaryIO

import attrs

from homeport.config.offline import stay_offline
from homeport.config.structuring import structure
from homeport.domain.errors import HomeportError, PullError
from homeport.models.fetch_job import ENTRY_FOLDER, FetchJob, FetchReport, Stage
from homeport.models.manifest import Manifest
from homeport.models.records import decode_record, encode_record
from homeport.plugin.imports import import_object
from homeport.plugin.protocols import ModelSource

_DOWNLOAD_FOLDER = "download"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REPORT_INTERVAL_SECONDS = 0.06
"""Ollama's own pace of progress lines."""


class Reporter:
    """Writes reports, at most one per interval within a stage."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._last: tuple[Stage, str] | None = None
        self._last_time = 0.0

    def send(self, report: FetchReport) -> None:
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
            self.send(FetchReport(stage=stage, item=item, completed=completed, total=total))

    def fetching(self, item: str, completed: int, total: int) -> None:
        """Tell how far a download is; given to sources."""
        self.progress(Stage.FETCHING, item, completed, total)

    def converting(self, completed: int, total: int) -> None:
        """Tell how far the conversion is."""
        self.progress(Stage.CONVERTING, "", completed, total)


def main() -> int:
    """Do the job on standard input; the exit code is 0 when the last report says how it ended."""
    reporter = Reporter(_take_stdout())
    stay_offline()
    try:
        job = decode_record(FetchJob, sys.stdin.buffer.readline())
        threading.Thread(target=_end_with_host, daemon=True).start()
        manifest = fetch(job, reporter)
    except Exception as error:  # noqa: BLE001 - the last resort: the host tells and logs it
        reporter.send(_failure(error))
    else:
        reporter.send(FetchReport(stage=Stage.DONE, manifest=manifest))
    return 0


def fetch(job: FetchJob, reporter: Reporter) -> Manifest:
    """Fetch and convert a model into the job's folder.

    Raises:
        PullError: With what failed and how to mend it.
    """
    try:
        conversion = importlib.import_module("homeport.models.conversion.importing")
    except ModuleNotFoundError as error:
        raise PullError(
            f"converting models needs the package {(error.name or str(error)).partition('.')[0]!r}",
            hint="pip install 'homeport[transformers]'",
        ) from error
    source = _build_source(job)
    folder = Path(job.folder)
    download = folder / _DOWNLOAD_FOLDER
    download.mkdir()
    source.fetch(job.artifact, download, reporter.fetching)
    reporter.progress(Stage.VERIFYING, "", 0, 0)
    manifest: Manifest = conversion.convert(
        download,
        folder / ENTRY_FOLDER,
        artifact=job.artifact,
        wish=job.wish,
        room_bytes=job.room_bytes,
        progress=reporter.converting,
    )
    return attrs.evolve(manifest, license=job.license or manifest.license)


def _failure(error: Exception) -> FetchReport:
    """Put an error into words; what could name paths is for the log only."""
    if isinstance(error, HomeportError) and error.public_text is None:
        cause = repr(error.__cause__) if error.__cause__ else ""
        return FetchReport(stage=Stage.FAILED, message=error.message, hint=error.hint, cause=cause)
    kind, message, hint = type(error).__name__, "fetching failed", "the log has the details"
    if isinstance(error, OSError):
        kind = error.strerror or kind
        if error.errno in _FULL:
            message = "the model cannot be written"
            hint = "remove models with: homeport rm NAME, or choose another folder with HOMEPORT_HOME"
    cause = "".join(traceback.format_exception(error))
    return FetchReport(stage=Stage.FAILED, message=f"{message}: {kind}", hint=hint, cause=cause)


def _build_source(job: FetchJob) -> ModelSource:
    factory = import_object(job.factory)
    if job.config_class is None:
        source: ModelSource = factory()
    else:
        source = factory(structure(import_object(job.config_class), job.config, path="$"))
    return source


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


if __name__ == "__main__":
    sys.exit(main())
