"""What one routing decision costs: milliseconds of CPU for 63 models of 8 backends.

    python -m benchmarks.routing --json

The planner is the real one, with its breakers and standings; backends only list. Routers of plugins come
on top.
"""

import asyncio
import hashlib
import random
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.command import Setup, command
from benchmarks.figures import Spread
from homeport import GenerationRequest, ModelInfo, Settings, Terms, TextPrompt
from homeport.gateway.admission.line import TargetLoad
from homeport.gateway.attempts.breakers import Breakers
from homeport.gateway.routing.eligibility import Residence
from homeport.gateway.routing.planner import RoutePlanner
from homeport.gateway.routing.standings import Standings
from homeport.models.aliases import AliasTable
from homeport.models.catalog import Catalog

_MODELS = 63
_BACKENDS = 8
_SIZES = (0.5e9, 1.5e9, 3e9, 7e9, 14e9, 32e9, 70e9)
_PROMPT = "What is the capital of France? " * 30
_ROUNDS = 7
_DECISIONS = 200
_MILLISECONDS = 1000


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
    planner = _planner()
    return [
        {"asked": name, "candidates": found, "cpu_ms": Spread.of(times)}
        for name in ("auto", "balanced", "m5:latest")
        for found, times in [await _decisions(planner, name, rounds)]
    ]


async def _decisions(planner: RoutePlanner, name: str, rounds: int) -> tuple[int, list[float]]:
    request = GenerationRequest(id="r", model=name, prompt=TextPrompt(_PROMPT), terms=Terms(seed=1))
    found = len((await planner.decide(request)).ranked)
    times = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(_DECISIONS):
            await planner.decide(request)
        times.append((time.process_time() - began) / _DECISIONS * _MILLISECONDS)
    return found, times


def _planner() -> RoutePlanner:
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
        routers=(),
        guards=(),
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
