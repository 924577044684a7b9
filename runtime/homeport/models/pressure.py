"""How short of memory the system is, and what is done about it."""

import asyncio
from collections.abc import Callable
from enum import IntEnum

from loguru import logger

from homeport.models.room import Room
from homeport.worker.memory import pressure_percent

LOOK_SECONDS = 2.0
TIGHT_PERCENT = 10.0
SEVERE_PERCENT = 40.0
CALM_SECONDS = 10.0
"""How long a strain stays after the pressure fell, so that nothing swings to and fro."""


class Strain(IntEnum):
    """What the pressure on memory forbids.

    Attributes:
        NONE: Nothing.
        TIGHT: Loads for which others would have to leave; idle models go.
        SEVERE: New work too.
    """

    NONE = 0
    TIGHT = 1
    SEVERE = 2


class Pressure:
    """The pressure on memory as last seen.

    Attributes:
        percent: Share of the last 10 s in which some task waited for memory.
        strain: What it forbids.
    """

    def __init__(self) -> None:
        self.percent = 0.0
        self.strain = Strain.NONE
        self._calm_since: float | None = None

    @property
    def is_tight(self) -> bool:
        """Whether no model leaves for another."""
        return self.strain >= Strain.TIGHT

    @property
    def is_severe(self) -> bool:
        """Whether new work is to be refused."""
        return self.strain >= Strain.SEVERE

    def note(self, percent: float, *, now: float) -> None:
        """Take note of a figure; strain comes at once and goes after ten seconds below its mark."""
        self.percent = percent
        found = _strain_of(percent)
        if found >= self.strain:
            self._calm_since = None
            self._turn(found)
        elif self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= CALM_SECONDS:
            self._calm_since = None
            self._turn(found)

    def _turn(self, strain: Strain) -> None:
        if strain != self.strain:
            before = self.strain.name
            logger.warning("memory pressure {:.0f} %: strain {}, was {}", self.percent, strain.name, before)
        self.strain = strain


async def relieve(pressure: Pressure, room: Room, read: Callable[[], float] = pressure_percent) -> None:
    """Let one idle model go at each look that finds pressure; look while models are loaded or strain lasts.

    Args:
        pressure: Keeps what is seen.
        room: Where the models are.
        read: Gives the pressure in percent.
    """
    loop = asyncio.get_running_loop()
    while True:
        if pressure.strain is Strain.NONE:
            await room.occupied.wait()
        pressure.note(await asyncio.to_thread(read), now=loop.time())
        if pressure.is_tight:
            await room.evict_idle()
        await asyncio.sleep(LOOK_SECONDS)


def _strain_of(percent: float) -> Strain:
    if percent > SEVERE_PERCENT:
        return Strain.SEVERE
    return Strain.TIGHT if percent > TIGHT_PERCENT else Strain.NONE
