"""Real guards on real ledgers."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime

import attrs
import pytest
from loguru import logger

from homeport import (
    Attempt,
    Candidate,
    GenerationRequest,
    ModelInfo,
    Sampling,
    Terms,
    TextPrompt,
    Usage,
)
from homeport_costguard.config import BudgetSettings, CostGuardConfig, PriceSettings
from homeport_costguard.guard import CostGuard

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PRICES = {"paid": PriceSettings(input=1.0, output=2.0, as_of="2026-11-01", source="a test")}
"""One micro-USD per token of a prompt, two per token of an answer."""


def candidate(name="paid:latest", *, remote=True, backend="far", **facts):
    """Someone who could serve; remote and priced unless said otherwise."""
    model = ModelInfo(
        name=name, digest="a" * 64, backend=backend, modified_at=NOON, is_remote=remote, **facts
    )
    return Candidate(backend, model)


FREE = candidate("own:latest", remote=False, backend="here")


def request(prompt="hello", *, max_tokens=10, owner="", **terms):
    """A request for an answer."""
    return GenerationRequest(
        id="r",
        model="any",
        prompt=TextPrompt(prompt),
        sampling=Sampling(max_tokens=max_tokens),
        owner=owner,
        terms=Terms(**terms),
    )


def config(**settings):
    """Settings with one priced model; budgets are given by their fields."""
    budgets = {name: BudgetSettings(**fields) for name, fields in settings.pop("budgets", {}).items()}
    return CostGuardConfig(**{"prices": PRICES, "local_threads": 2, **settings}, budgets=budgets)


USED = Usage(prompt_tokens=5, completion_tokens=7)


async def run(guard, asked=None, who=None, *, usage=USED, error=None):
    """Make one attempt as the gateway does; gives what was sent."""
    attempt = Attempt(request=asked or request(), candidate=who or candidate())
    async with guard.attempt(attempt) as bounded:
        attempt.usage, attempt.seconds = usage, 0.5
        if error is not None:
            attempt.error = error
            raise error
    return bounded


@attrs.define
class Clock:
    """Wall time that a test moves."""

    now: datetime = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def opened(tmp_path, clock):
    """Open a guard on a ledger of the test, and close it in the end."""

    @asynccontextmanager
    async def open_guard(settings=None, *, state=tmp_path):
        guard = CostGuard(settings or config(), state=state, clock=clock)
        try:
            yield guard
        finally:
            await guard.aclose()

    return open_guard


@pytest.fixture
def log():
    """Lines that are logged."""
    lines = []
    handler = logger.add(lambda line: lines.append(str(line).strip()), format="{level} {message}")
    yield lines
    logger.remove(handler)
