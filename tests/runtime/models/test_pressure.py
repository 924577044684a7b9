import asyncio

import pytest

from homeport.config.settings import ModelSettings
from homeport.models.pressure import Pressure, Strain, relieve
from homeport.models.room import Room
from homeport.testing import in_virtual_time


@pytest.mark.parametrize(
    ("percent", "strain"),
    [(0, Strain.NONE), (10, Strain.NONE), (10.1, Strain.TIGHT), (40, Strain.TIGHT), (99, Strain.SEVERE)],
)
def test_figures_mean_what_the_table_says(percent, strain):
    """Above 10 % nothing leaves for another, above 40 % nothing new comes."""
    pressure = Pressure()
    pressure.note(percent, now=0)
    assert pressure.strain is strain
    assert pressure.is_tight == (strain >= Strain.TIGHT)
    assert pressure.is_severe == (strain is Strain.SEVERE)


def test_strain_comes_at_once_and_goes_after_ten_calm_seconds():
    """A moment of calm lifts nothing, and a new peak begins the count anew."""
    pressure = Pressure()
    told = []
    for now, percent in [(0, 50), (2, 5), (8, 5), (10, 45), (12, 5), (20, 5), (21, 5), (22, 5)]:
        pressure.note(percent, now=now)
        told.append(pressure.strain)
    assert told == [Strain.SEVERE] * 7 + [Strain.NONE]


@in_virtual_time
async def test_strain_ends_though_nothing_is_loaded_any_more():
    """Work is not refused for ever after the last model left under pressure."""
    pressure = Pressure()
    pressure.note(90, now=asyncio.get_running_loop().time())
    watch = asyncio.ensure_future(relieve(pressure, Room(ModelSettings()), lambda: 0.0))
    await asyncio.sleep(15)
    assert pressure.strain is Strain.NONE
    watch.cancel()


@in_virtual_time
async def test_nobody_looks_while_nothing_is_loaded():
    """An idle host reads no files."""
    looks = []
    watch = asyncio.ensure_future(relieve(Pressure(), Room(ModelSettings()), lambda: looks.append(1) or 0.0))
    await asyncio.sleep(100)
    assert not looks
    watch.cancel()
