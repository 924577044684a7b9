"""The memory that all local models share: who gets how much of it, and who has to go for another."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import attrs
from loguru import logger

from homeport.config.model_settings import ModelSettings
from homeport.domain.memory_amount import MemoryAmount
from homeport.domain.overload import NoRoomError, OverloadedError, TooManyModelsError
from homeport.models.claim import Claim, Held
from homeport.models.footprint import Footprint
from homeport.worker.memory import available_bytes, total_bytes

PATIENCE_SECONDS = 2.0
"""How long a load waits for a model to become idle before it takes that model out of service."""
LOOK_SECONDS = 1.0
"""How long a look at the memory is good for routing, which asks with every request."""


@attrs.frozen(kw_only=True)
class Machine:
    """Where the figures of the system come from.

    Attributes:
        total_bytes: Gives what the machine or its control group has.
        available_bytes: Gives what it leaves free, where processes of ours hold so much mapped.
    """

    total_bytes: Callable[[], int] = total_bytes
    available_bytes: Callable[[int], int] = lambda mapped: available_bytes(mapped_elsewhere=mapped)


_MACHINE = Machine()


class Room:
    """Grants memory to loads, and makes models leave that nobody uses.

    A load is granted its predicted peak when that fits beside the predicted peaks of all others, what the
    system leaves free, and ``least_free``. Where it does not, idle models leave, least recently used first.
    Where that does not suffice either but would if models in use became idle, the load waits: for two
    seconds in the hope of an idle moment, then it takes the least recently used of them out of service,
    which ends after its last request. Loads that wait do so in the order in which they came.

    Args:
        settings: Bounds of memory and of the number of models.
        machine: Where the figures of the system come from.
        may_evict: Whether models may be made to leave for others now.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        machine: Machine = _MACHINE,
        may_evict: Callable[[], bool] = lambda: True,
    ) -> None:
        self.reconfigure(settings)
        self._machine = machine
        self._may_evict = may_evict
        self._claims: list[Claim] = []
        self._line = asyncio.Lock()
        self._news = asyncio.Event()
        self._seen = _Look(total_bytes=0, available_bytes=0, held={})
        self._seen_at = float("-inf")
        self.occupied = asyncio.Event()
        """Set while a model is loaded or being loaded."""

    def reconfigure(self, settings: ModelSettings) -> None:
        """Grant memory within other bounds from now on; what was granted stays."""
        self._most_loaded = settings.most_loaded
        self._most_memory = MemoryAmount.parse(settings.most_memory)
        self._least_free = MemoryAmount.parse(settings.least_free)

    async def claim(self, name: str, footprint: Footprint, *, within_seconds: float) -> Claim:
        """Get memory for a load, waiting for it where that can help.

        Args:
            name: Of the model, for people.
            footprint: What it takes.
            within_seconds: How long it may wait.

        Raises:
            NoRoomError: It does not fit; with what it needs and what it could have.
            TooManyModelsError: It would, but no more models may be loaded.
        """
        claim = await self._grant(name, footprint)
        if claim is not None:
            return claim
        try:
            async with asyncio.timeout(within_seconds), self._line:
                return await self._make_room(name, footprint)
        except TimeoutError as error:
            raise self._refused(footprint, self._left_bytes()) from error

    def release(self, claim: Claim) -> None:
        """Take back what a model had, whose process has ended."""
        if claim in self._claims:
            self._claims.remove(claim)
        if not self._claims:
            self.occupied.clear()
        self.tell()

    def tell(self) -> None:
        """Let loads that wait look again: a model became idle, or is gone."""
        self._news.set()

    async def refresh(self) -> None:
        """Look at the memory again, where the last look is over a second old."""
        if asyncio.get_running_loop().time() - self._seen_at > LOOK_SECONDS:
            await self._look()

    def objection(self, footprint: Footprint) -> str:
        """Say why a model could not be loaded now, also if idle ones left for it; empty where it could.

        Judged by the last look, see :meth:`refresh`.
        """
        idle = [claim for claim in self._claims if claim.is_idle] if self._may_evict() else []
        if self._is_full(len(self._claims) - len(idle)):
            return f"{len(self._claims)} models are in use, and no more may be loaded"
        free = self._left_bytes() + sum(map(self._taken_bytes, idle))
        if footprint.least_bytes <= free:
            return ""
        return f"needs {footprint.least_bytes} bytes of memory, {max(free, 0)} can be had"

    async def evict_idle(self) -> bool:
        """Let the least recently used idle model go; say whether there was one."""
        idle = (claim for claim in self._claims if claim.is_idle)
        return await _dismiss(min(idle, key=lambda claim: claim.used_at, default=None))

    async def _make_room(self, name: str, footprint: Footprint) -> Claim:
        while True:
            self._news.clear()
            claim = await self._grant(name, footprint)
            if claim is not None:
                return claim
            self._check_hope(footprint)
            if not self._is_coming(footprint) and await self.evict_idle():
                continue
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                await self._retire_one(footprint)

    async def _grant(self, name: str, footprint: Footprint) -> Claim | None:
        """Give a load what it needs where nobody has to go for it."""
        await self._look()
        left = self._left_bytes()
        if footprint.least_bytes > left or self._is_full(len(self._claims)):
            return None
        cache_bytes = footprint.cache_bytes(left)
        predicted = footprint.peak_bytes(cache_bytes)
        claim = Claim(name=name, predicted_bytes=predicted, cache_bytes=cache_bytes)
        self._claims.append(claim)
        self.occupied.set()
        return claim

    def _check_hope(self, footprint: Footprint) -> None:
        """Give up where it would not help if every model left that may.

        Raises:
            OverloadedError: As :meth:`claim`.
        """
        going = [claim for claim in self._claims if claim.may_leave] if self._may_evict() else []
        reachable = self._left_bytes() + sum(map(self._taken_bytes, going))
        if footprint.least_bytes > reachable or self._is_full(len(self._claims) - len(going)):
            raise self._refused(footprint, reachable)

    def _is_coming(self, footprint: Footprint) -> bool:
        """Say whether those on their way out suffice."""
        going = [claim for claim in self._claims if claim.is_leaving]
        left = self._left_bytes() + sum(map(self._taken_bytes, going))
        return footprint.least_bytes <= left and not self._is_full(len(self._claims) - len(going))

    async def _retire_one(self, footprint: Footprint) -> None:
        """Take a model in use out of service; its requests end first."""
        if self._is_coming(footprint):
            return
        staying = (claim for claim in self._claims if claim.may_leave and not claim.is_leaving)
        await _dismiss(min(staying, key=lambda claim: claim.used_at, default=None))

    async def _look(self) -> None:
        """Ask the system, in a thread: its files may keep a reader waiting."""
        began = asyncio.get_running_loop().time()
        self._seen = await asyncio.to_thread(_look_at, self._machine, tuple(self._claims))
        self._seen_at = began

    def _left_bytes(self) -> int:
        """Say what a new model may take: what was free, less what was promised of it and not written yet."""
        seen = self._seen
        free = seen.available_bytes - self._least_free.of(seen.total_bytes)
        free -= sum(max(claim.predicted_bytes - seen.resident_bytes(claim), 0) for claim in self._claims)
        allowed = self._most_memory.of(seen.total_bytes) - sum(map(self._taken_bytes, self._claims))
        return min(free, allowed)

    def _taken_bytes(self, claim: Claim) -> int:
        """Say what is lost to others: the predicted peak, or more where the prediction was too low."""
        return max(claim.predicted_bytes, self._seen.resident_bytes(claim))

    def _is_full(self, count: int) -> bool:
        return bool(self._most_loaded) and count >= self._most_loaded

    def _refused(self, footprint: Footprint, free_bytes: int) -> OverloadedError:
        """Say what was missing: memory, or where there was enough of it, a place among the models."""
        if self._is_full(len(self._claims)) and footprint.least_bytes <= free_bytes:
            return TooManyModelsError(self._most_loaded)
        hint = "See what is in memory with: homeport ps"
        return NoRoomError(footprint.least_bytes, free_bytes, hint=hint)


@attrs.frozen(kw_only=True)
class _Look:
    """What the system told at one moment, in bytes."""

    total_bytes: int
    available_bytes: int
    held: Mapping[Claim, Held]

    def resident_bytes(self, claim: Claim) -> int:
        """Give what a model held; nothing where it came later."""
        held = self.held.get(claim)
        return 0 if held is None else held.resident_bytes


def _look_at(machine: Machine, claims: Sequence[Claim]) -> _Look:
    held = {claim: claim.held() for claim in claims}
    mapped = sum(each.mapped_bytes for each in held.values())
    return _Look(
        total_bytes=machine.total_bytes(), available_bytes=machine.available_bytes(mapped), held=held
    )


async def _dismiss(claim: Claim | None) -> bool:
    if claim is None or claim.tenant is None:
        return False
    logger.info("{} has to leave memory", claim.name)
    await claim.tenant.leave("evicted")
    return True
