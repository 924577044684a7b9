"""One model in memory: its worker, who uses it, and until when it stays."""

import asyncio
import math
from datetime import UTC, datetime, timedelta

import attrs
import psutil

from homeport.domain.models import ResidentModel
from homeport.models.store import StoredModel
from homeport.worker.process import WorkerProcess


@attrs.define(kw_only=True, eq=False)
class Residency:
    """A loaded model.

    Attributes:
        model: What is loaded.
        backend: Name of the backend that runs it.
        worker: Its process.
        context_length: Window it was loaded with, in tokens.
        keep_alive_seconds: How long it stays after its last request; infinity is for ever.
        users: Requests that run now.
        expires_at: When it leaves, on the loop's clock; None while in use or for ever.
        timer: Rings then.
        retired_for: Why it takes no more requests; None while it does.
    """

    model: StoredModel
    backend: str
    worker: WorkerProcess
    context_length: int
    keep_alive_seconds: float
    users: int = 0
    expires_at: float | None = None
    timer: asyncio.TimerHandle | None = None
    retired_for: str | None = None

    @property
    def alive(self) -> bool:
        """Whether its worker runs."""
        return not self.worker.ended.is_set()

    def stop_clock(self) -> None:
        """Forget when it was to leave."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = None
        self.expires_at = None

    def describe(self) -> ResidentModel:
        """Report it for ``ps``."""
        return ResidentModel(
            info=self.model.info(self.backend),
            resident_bytes=_resident_bytes(self.worker.pid),
            context_length=self.context_length,
            expires_at=self._expiry_date(),
            computes=self.worker.facts.computes,
        )

    def _expiry_date(self) -> datetime | None:
        """Give the moment it leaves if nobody asks again: counted from now while it is in use."""
        if math.isinf(self.keep_alive_seconds) and self.expires_at is None:
            return None
        now = asyncio.get_running_loop().time()
        left = self.keep_alive_seconds if self.expires_at is None else self.expires_at - now
        try:
            return datetime.now(UTC) + timedelta(seconds=left)
        except OverflowError:
            return None


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
