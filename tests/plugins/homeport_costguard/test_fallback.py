"""A free local model falls back to a priced one, through the real gateway."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import ClassVar

import pytest

from homeport import (
    BackendError,
    BackendKind,
    BackendSpec,
    BudgetError,
    Finished,
    FinishReason,
    GenerationRequest,
    ModelInfo,
    PromptAccepted,
    Sampling,
    Settings,
    TextDelta,
    TextPrompt,
    Usage,
    hookimpl,
)
from homeport.config.gateway_settings import BreakerSettings, GatewaySettings, RetrySettings
from homeport.config.settings import PluginSettings
from homeport.runtime import Runtime
from homeport.testing import EchoBackend
from homeport_costguard import plugin

from .ledger_view import check_sums, rows, spent

NAME = "guarded"
REQUESTS, ROOM = 64, 10
WORST_CASE_USD = (5 + 64 + 2 * 10) / 1e6
MONEY = {
    "prices": {"paid": {"input": 1.0, "output": 2.0, "as_of": "2026-11-01"}},
    "budgets": {"all": {"hard_usd": ROOM * WORST_CASE_USD}},
}


def info(name, *, remote):
    return ModelInfo(
        name=f"{name}:latest",
        digest=name.encode().hex().ljust(64, "0"),
        backend=name,
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
        is_remote=remote,
        slots=REQUESTS,
    )


class Free(EchoBackend):
    """Costs nothing, and never answers."""

    async def models(self):
        return (info("free", remote=False),)

    def generate(self, request):
        raise BackendError("out of order")


class Paid(EchoBackend):
    """Answers once it is let."""

    entered: ClassVar[asyncio.Semaphore]
    gate: ClassVar[asyncio.Event]

    async def models(self):
        return (info("paid", remote=True),)

    @asynccontextmanager
    async def generate(self, request):
        yield self._one_word()

    async def _one_word(self):
        Paid.entered.release()
        await Paid.gate.wait()
        yield PromptAccepted(5)
        yield TextDelta("word")
        yield Finished(FinishReason.STOP, Usage(prompt_tokens=5, completion_tokens=1))


class Backends:
    @hookimpl
    def homeport_backends(self):
        for name, backend in (("free", "Free"), ("paid", "Paid")):
            yield BackendSpec(name=name, kind=BackendKind.REMOTE, factory=f"{__name__}:{backend}")


@pytest.fixture
def settings(tmp_path):
    """The free model first, then the paid one; as many fallbacks as there are requests, and no breaker."""
    given = (NAME, "backends")
    return Settings(
        home=tmp_path,
        gateway=GatewaySettings(
            fallbacks=("paid",),
            retry=RetrySettings(extra_attempts=0, least_per_minute=10 * REQUESTS),
            breaker=BreakerSettings(least_calls=10 * REQUESTS),
        ),
        plugins=PluginSettings(enabled=given, strict=True, tables={"cost-guard": MONEY}),
    )


async def test_fallbacks_to_a_priced_model_overspend_nothing(settings, tmp_path):
    """64 requests at once to a free model that fails: ten reach the priced one, for there is room for ten."""
    Paid.entered, Paid.gate = asyncio.Semaphore(0), asyncio.Event()

    async def ask(runtime, number):
        request = GenerationRequest(
            id=str(number), model="free", prompt=TextPrompt("hello"), sampling=Sampling(max_tokens=10)
        )
        try:
            async with runtime.gateway.generate(request) as reply:
                return [event async for event in reply]
        except (BudgetError, BackendError) as error:
            Paid.entered.release()
            return error

    async with (
        Runtime.open(settings, plugins={NAME: plugin, "backends": Backends()}) as runtime,
        asyncio.timeout(30),
        asyncio.TaskGroup() as group,
    ):
        tasks = [group.create_task(ask(runtime, number)) for number in range(REQUESTS)]
        for _ in range(REQUESTS):
            await Paid.entered.acquire()
        Paid.gate.set()
    ended = [task.result() for task in tasks]
    assert sum(isinstance(each, list) for each in ended) == ROOM
    refused = [each for each in ended if isinstance(each, Exception)]
    assert all(isinstance(each, BudgetError) for each in refused), set(map(repr, refused))
    folder = tmp_path / "state" / NAME
    assert spent(folder)[0] == ROOM * (5 + 2)
    assert rows(folder, "SELECT DISTINCT model FROM entries WHERE outcome = 'ok'") == [("paid",)]
    check_sums(folder)
