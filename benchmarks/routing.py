"""What one routing decision costs: milliseconds of CPU for 63 models of 8 backends.

    python -m benchmarks.routing --json

The planner is the real one, with its breakers and standings; backends only list. It is measured alone, and
with all routers of the plugins and the guard, which knows of two budgets that every request falls under.
"""

import asyncio
import hashlib
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.command import Setup, command
from benchmarks.figures import Spread
from homeport import (
    Attempt,
    Candidate,
    GenerationRequest,
    Guard,
    ModelInfo,
    Router,
    Settings,
    Terms,
    TextPrompt,
)
from homeport.gateway.admission.line import TargetLoad
from homeport.gateway.attempts.breakers import Breakers
from homeport.gateway.routing.eligibility import Residence
from homeport.gateway.routing.planner import RoutePlanner
from homeport.gateway.routing.standings import Standings
from homeport.models.aliases import AliasTable
from homeport.models.catalog import Catalog
from homeport_costguard.config import BudgetSettings, CostGuardConfig
from homeport_costguard.guard import CostGuard
from homeport_routers.affinity import Affinity
from homeport_routers.complexity import Complexity
from homeport_routers.config import ComplexityConfig, LoadConfig, RulesConfig, StrategyConfig
from homeport_routers.load import Load
from homeport_routers.rules import Rules
from homeport_routers.strategy import StrategyRouter

_MODELS = 63
_BACKENDS = 8
_SIZES = (0.5e9, 1.5e9, 3e9, 7e9, 14e9, 32e9, 70e9)
_PROMPT = "What is the capital of France? " * 30
_ROUNDS = 7
_DECISIONS = 200
_MILLISECONDS = 1000
_COSTS = CostGuardConfig(
    budgets={"all": BudgetSettings(hard_calls=10**9), "each": BudgetSettings(scope="agent", hard_calls=10**9)}
)


class _Listing:
    """A backend that only lists."""

    def __init__(self, models: Sequence[ModelInfo]) -> None:
        self._models = models

    async def models(self) -> Sequence[ModelInfo]:
        return self._models


@command("routing")
def main(setup: Setup):
    """Measure milliseconds of CPU per decision, the list of models included."""
    return asyncio.run(_measure(setup.rounds(_ROUNDS)))


async def _measure(rounds: int):
    with tempfile.TemporaryDirectory() as state:
        guard = CostGuard(_COSTS, state=Path(state))
        async with guard.attempt(
            Attempt(request=_request("m5:latest"), candidate=Candidate("b5", _model(5)))
        ):
            pass  # from now on the guard knows how the budgets stand
        rows = [
            {"asked": name, "with": what, "candidates": found, "cpu_ms": Spread.of(times)}
            for what, planner in (
                ("no plugin", _planner()),
                ("all routers and budgets", _planner(_routers(guard), (guard,))),
            )
            for name in ("auto", "balanced", "m5:latest")
            for found, times in [await _decisions(planner, name, rounds)]
        ]
        await guard.aclose()
    return rows


async def _decisions(planner: RoutePlanner, name: str, rounds: int) -> tuple[int, list[float]]:
    request = _request(name)
    found = len((await planner.decide(request)).ranked)
    times = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(_DECISIONS):
            await planner.decide(request)
        times.append((time.process_time() - began) / _DECISIONS * _MILLISECONDS)
    return found, times


def _request(name: str) -> GenerationRequest:
    return GenerationRequest(
        id="r", model=name, prompt=TextPrompt(_PROMPT), terms=Terms(seed=1, agent="scribe")
    )


def _routers(guard: CostGuard) -> tuple[tuple[str, Router], ...]:
    return (
        ("rules", Rules(RulesConfig())),
        ("complexity", Complexity(ComplexityConfig())),
        ("cost", guard),
        ("strategy", StrategyRouter(StrategyConfig())),
        ("affinity", Affinity()),
        ("load", Load(LoadConfig())),
    )


def _planner(routers: Sequence[tuple[str, Router]] = (), guards: Sequence[Guard] = ()) -> RoutePlanner:
    chance = random.Random(1)  # noqa: S311 - a benchmark
    settings = Settings()
    breakers = Breakers(settings.gateway.breaker, lambda _: None, chance)
    backends = {
        f"b{each}": _Listing([_model(number) for number in range(each, _MODELS, _BACKENDS)])
        for each in range(_BACKENDS)
    }
    idle = TargetLoad(in_flight=0, waiting=0, limit=1)
    return RoutePlanner(
        catalog=Catalog(backends, AliasTable.load()),
        routers=routers,
        guards=guards,
        settings=settings,
        standings=Standings(),
        refusal=breakers.refusal,
        load_of=lambda _: idle,
        residency=lambda _: Residence(),
        chance=chance,
    )


def _model(number: int) -> ModelInfo:
    return ModelInfo(
        name=f"m{number}:latest",
        digest=hashlib.sha256(f"{number}".encode()).hexdigest(),
        backend=f"b{number % _BACKENDS}",
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
        parameter_count=round(_SIZES[number % len(_SIZES)]),
        context_length=8192,
    )


if __name__ == "__main__":
    main()
