"""What accounting adds to an attempt, and how many reservations and charges a second the ledger takes.

    python -m benchmarks.ledger --json

Every paid attempt is reserved and charged on its own; the charge waits for the disk (``synchronous = FULL``).
Free attempts of a local model are written later. The ledger lies in the folder that ``--folder`` names.
"""

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

import click

from benchmarks.command import Setup, command
from benchmarks.figures import Spread
from homeport import Attempt, Candidate, GenerationRequest, ModelInfo, Sampling, Terms, TextPrompt, Usage
from homeport_costguard.config import BudgetSettings, CostGuardConfig, PriceSettings
from homeport_costguard.guard import CostGuard

_ROUNDS = 5
_ATTEMPTS = 640
_TOGETHER = (1, 8, 64)
_CONFIG = CostGuardConfig(
    prices={"paid": PriceSettings(input=1.0, output=2.0, as_of="2026-11-01")},
    budgets={"all": BudgetSettings(hard_usd=1e6), "each": BudgetSettings(scope="agent", hard_usd=1e6)},
)
_REQUEST = GenerationRequest(
    id="r",
    model="any",
    prompt=TextPrompt("how long does this take?"),
    sampling=Sampling(max_tokens=10),
    terms=Terms(agent="scribe", job="night", tags=("one",)),
)


@command("ledger", click.option("--folder", type=click.Path(path_type=Path, file_okay=False, exists=True)))
def main(setup: Setup, *, folder: Path | None):
    """Measure attempts of a priced remote model and of a free local one."""
    rows = []
    for is_paid in (True, False):
        for together in _TOGETHER:
            rounds = [
                asyncio.run(_round(folder, together, is_paid=is_paid)) for _ in range(setup.rounds(_ROUNDS))
            ]
            rates, halves, tails = zip(*rounds, strict=True)
            rows.append(
                {
                    "attempt": "paid" if is_paid else "free",
                    "at once": together,
                    "attempts/s": Spread.of(rates),
                    "added ms p50": Spread.of(halves),
                    "added ms p99": Spread.of(tails),
                }
            )
    return rows


async def _round(folder: Path | None, together: int, *, is_paid: bool) -> tuple[float, float, float]:
    """Give attempts per second, and the milliseconds that half and 99 % of them took at most."""
    model = ModelInfo(
        name="paid:latest", digest="a" * 64, backend="b", modified_at=datetime.now(UTC), is_remote=is_paid
    )
    candidate = Candidate("b", model)
    took: list[float] = []
    with tempfile.TemporaryDirectory(dir=folder) as state:
        guard = CostGuard(_CONFIG, state=Path(state))
        await _attempt(guard, candidate)

        async def lane():
            for _ in range(_ATTEMPTS // together):
                began = time.perf_counter()
                await _attempt(guard, candidate)
                took.append((time.perf_counter() - began) * 1e3)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(together):
                group.create_task(lane())
        seconds = time.perf_counter() - began
        await guard.aclose()
    took.sort()
    return len(took) / seconds, took[len(took) // 2], took[len(took) * 99 // 100]


async def _attempt(guard: CostGuard, candidate: Candidate) -> None:
    attempt = Attempt(
        request=_REQUEST, candidate=candidate, usage=Usage(prompt_tokens=9, completion_tokens=9)
    )
    async with guard.attempt(attempt):
        pass


if __name__ == "__main__":
    main()
