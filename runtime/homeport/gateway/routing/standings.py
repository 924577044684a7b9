"""How fast and how sure each model has been at each type of task, smoothed, and kept over restarts."""

import asyncio
import math
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import attrs
from loguru import logger

from homeport.domain.errors import StoreError
from homeport.gateway.attempts.breaker import counts
from homeport.gateway.target import TargetKey
from homeport.models.durable import read_record, write_record
from homeport.models.records import FORMAT_VERSION, decode_record, encode_record

MOST_ENTRIES = 4096
"""Pairs of a target and a task that are remembered; the one not seen for longest goes first."""
LATENCY_SHARE = 0.2
"""Weight of the newest latency: half of what is remembered is from the last three requests."""
OUTCOME_SHARE = 0.1
"""Weight of the newest outcome: half of what is remembered is from the last seven requests."""
FRESH_SECONDS = 300.0
"""How long a latency is taken for that of the next request too."""
FLUSH_SECONDS = 5.0
"""What a crash may lose."""
_MOST_TASK_CHARACTERS = 64
_ANY_TASK = ""


@attrs.define
class _Figures:
    success_rate: float = 1.0
    latency_seconds: float | None = None
    calls: int = 0
    measured_at: float | None = None
    """On the loop's clock; None where it was read from disk."""


@attrs.frozen(kw_only=True)
class _Row:
    backend: str
    model: str
    task: str
    success_rate: float
    latency_seconds: float | None
    calls: int

    @property
    def is_sound(self) -> bool:
        latency = 0.0 if self.latency_seconds is None else self.latency_seconds
        return 0 <= self.success_rate <= 1 and 0 <= latency < math.inf and self.calls >= 0


@attrs.frozen(kw_only=True)
class _Trial:
    name: str
    requests: int


@attrs.frozen(kw_only=True)
class _File:
    version: int = FORMAT_VERSION
    rows: tuple[_Row, ...] = ()
    trials: tuple[_Trial, ...] = ()


@attrs.frozen
class Track:
    """What is remembered of a target.

    Attributes:
        success_rate: Smoothed share of calls that ended well, 0 to 1; 1 where unknown.
        latency_seconds: Smoothed time to the first token; None where unknown.
        is_fresh: Whether the latency was measured lately.
        calls: How many calls it is made of.
    """

    success_rate: float = 1.0
    latency_seconds: float | None = None
    is_fresh: bool = False
    calls: int = 0


_UNKNOWN = Track()


class Standings:
    """Remembers outcomes by target and task; what is unknown of a task is taken from all tasks.

    Args:
        path: Where they are kept; None keeps them in memory only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._figures: OrderedDict[tuple[TargetKey, str], _Figures] = OrderedDict()
        self._trials: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._is_failing = False

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read them back; reads a file, so not in the loop.

        A file that is damaged is set aside under a dated name, and remembering begins anew.
        """
        standings = cls(path)
        try:
            standings._take(decode_record(_File, read_record(path)))
        except FileNotFoundError:
            pass
        except (OSError, StoreError) as error:
            _set_aside(path, error)
        return standings

    def track(self, key: TargetKey, task: str) -> Track:
        """Tell how a target did at a type of task, or at all of them where that is unknown."""
        figures = self._figures.get((key, _short(task))) or self._figures.get((key, _ANY_TASK))
        if figures is None:
            return _UNKNOWN
        at = figures.measured_at
        is_fresh = at is not None and asyncio.get_running_loop().time() - at < FRESH_SECONDS
        return Track(figures.success_rate, figures.latency_seconds, is_fresh, figures.calls)

    def observe(
        self, key: TargetKey, task: str, *, error: BaseException | None, first_token_seconds: float | None
    ) -> None:
        """Take note of a call.

        Args:
            key: Who was called.
            task: Type of the task; empty where it is unknown.
            error: What it failed with; one that is not the target's fault is no failure of it.
            first_token_seconds: How long the first token took; None where there was none.
        """
        outcome = _outcome(error)
        latency = None
        if first_token_seconds is not None and 0 <= first_token_seconds < math.inf:
            latency = float(first_token_seconds)
        if outcome is None and latency is None:
            return
        for name in {_short(task), _ANY_TASK}:
            self._note((key, name), outcome, latency)
        self._changed.set()

    def trial_requests(self, name: str) -> int:
        """Count the requests that a trial has had."""
        return self._trials.get(name, 0)

    def note_trial(self, name: str) -> None:
        """Count one more request of a trial."""
        self._trials[name] = self._trials.get(name, 0) + 1
        self._changed.set()

    async def run(self) -> None:
        """Write changes to disk until cancelled, at most every five seconds."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what changed; a failure is told once, and the next flush tries again."""
        if self._path is None or not self._changed.is_set():
            return
        self._changed.clear()
        try:
            await asyncio.to_thread(_write, self._path, self._file())
        except OSError as error:
            self._changed.set()
            if not self._is_failing:
                logger.warning("cannot keep the standings of models: {}", error)
            self._is_failing = True
        else:
            self._is_failing = False

    def _note(self, name: tuple[TargetKey, str], outcome: float | None, latency: float | None) -> None:
        figures = self._figures.setdefault(name, _Figures())
        self._figures.move_to_end(name)
        if outcome is not None:
            figures.calls += 1
            figures.success_rate += OUTCOME_SHARE * (outcome - figures.success_rate)
        if latency is not None:
            before = latency if figures.latency_seconds is None else figures.latency_seconds
            figures.latency_seconds = before + LATENCY_SHARE * (latency - before)
            figures.measured_at = asyncio.get_running_loop().time()
        while len(self._figures) > MOST_ENTRIES:
            self._figures.popitem(last=False)

    def _file(self) -> _File:
        rows = tuple(
            _Row(
                backend=key.backend,
                model=key.model,
                task=task,
                success_rate=figures.success_rate,
                latency_seconds=figures.latency_seconds,
                calls=figures.calls,
            )
            for (key, task), figures in self._figures.items()
        )
        trials = tuple(_Trial(name=name, requests=count) for name, count in self._trials.items())
        return _File(rows=rows, trials=trials)

    def _take(self, file: _File) -> None:
        for row in file.rows[-MOST_ENTRIES:]:
            if not row.is_sound:
                raise StoreError(f"the figures of {row.backend}/{row.model} are out of range")
            key = TargetKey(row.backend, row.model)
            self._figures[key, _short(row.task)] = _Figures(
                row.success_rate, row.latency_seconds, row.calls, None
            )
        self._trials = {trial.name: max(trial.requests, 0) for trial in file.trials}


def _write(path: Path, file: _File) -> None:
    """Write in a thread: 4096 rows take up to 10 ms to encode."""
    write_record(path, encode_record(file, indent=None))


def _short(task: str) -> str:
    return task[:_MOST_TASK_CHARACTERS]


def _outcome(error: BaseException | None) -> float | None:
    """Rate a call: 1 is a success, 0 a failure of the target, None neither."""
    if error is None:
        return 1.0
    return 0.0 if counts(error) else None


def _set_aside(path: Path, error: Exception) -> None:
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    try:
        path.rename(aside)
    except OSError as failure:
        logger.warning(
            "the standings of models are not readable, {}, and stay as they are: {}", error, failure
        )
    else:
        logger.warning("the standings of models begin anew; the damaged ones are {}: {}", aside, error)
