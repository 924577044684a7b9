"""The modules of the simulation stand beside its tests."""

import sys
from pathlib import Path

import pytest
from loguru import logger

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def quiet():
    """Thousands of simulated failures write no log."""
    logger.disable("homeport")
    logger.disable("homeport_costguard")
    yield
    logger.enable("homeport")
    logger.enable("homeport_costguard")
