"""One seed, one whole simulation. Replay a seed with: python tests/simulation/simulation.py SEED ..."""

import asyncio
import sys
import tempfile
from pathlib import Path

import attrs
from host import Host, hosting
from loguru import logger
from referee import Referee
from scenario import Scenario
from visit import Visit

from homeport.gateway.target import TargetKey
from homeport.testing import HangError, run_virtual

CLEARING_SECONDS = 30.0
"""How long the house may take to be empty after the last client."""
MOST_SECONDS = 3600.0
MOST_WRITING_SECONDS = 0.05
"""How long a transaction of the ledger may take."""


@attrs.frozen
class Report:
    """What happened, and which rules were broken."""

    visits: tuple[Visit, ...]
    calls: tuple[str, ...]
    faults: tuple[str, ...]

    def text(self) -> str:
        """Tell all of it."""
        return "\n".join((*(visit.summary() for visit in self.visits), *self.calls, *self.faults))


def simulate(seed: int) -> Report:
    """Run the simulation of a seed."""
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
        try:
            return run_virtual(
                _simulated(Scenario.draw(seed), Path(folder)),
                seed=seed,
                most_seconds=MOST_SECONDS,
                work_seconds=MOST_WRITING_SECONDS,
            )
        except (HangError, AssertionError, ExceptionGroup) as error:
            return Report((), (), (repr(error),))


async def _simulated(scenario: Scenario, folder: Path) -> Report:
    visits = tuple(Visit(client=client) for client in scenario.clients)
    async with hosting(scenario, folder) as host:
        referee = Referee(scenario, host)
        async with asyncio.TaskGroup() as watching:
            watch = watching.create_task(referee.watch())
            events = watching.create_task(_events(scenario, host, referee))
            async with asyncio.TaskGroup() as clients:
                for visit in visits:
                    clients.create_task(visit.run(host.gateway)).add_done_callback(lambda _: referee.look())
            await asyncio.sleep(CLEARING_SECONDS)
            watch.cancel()
            events.cancel()
        faults = referee.judge(visits)
    calls = tuple(
        f"{call.began_at:8.3f} {call.request.id:>4} on {name}, {call.script.fault or 'good'}: "
        f"{call.tokens} tokens to {call.ended_at}"
        for name, backend in host.backends.items()
        for call in backend.calls
    )
    return Report(visits, calls, tuple(dict.fromkeys(faults)))


async def _events(scenario: Scenario, host: Host, referee: Referee) -> None:
    """Reload, override and stop when the scenario says so."""
    async with asyncio.TaskGroup() as tasks:
        if scenario.later_settings is not None:
            tasks.create_task(_at(scenario.reloads_at, host.reload, scenario.later_settings))
        for at, name, action in scenario.forced:
            tasks.create_task(_at(at, _force, host, referee, name, action))
        if scenario.stops_at is not None:
            tasks.create_task(_at(scenario.stops_at, host.gateway.admission.close))
            tasks.create_task(_at(scenario.stops_at + 25.0, host.gateway.admission.cut))


async def _at(moment, function, *arguments) -> None:
    await asyncio.sleep(moment)
    function(*arguments)


def _force(host: Host, referee: Referee, name: str, action: str) -> None:
    breakers = host.gateway.breakers
    for model in host.backends[name].offered:
        key = TargetKey(name, model)
        if action == "open":
            breakers.force_open(key)
            referee.forced.add(key)
        else:
            breakers.reset(key)
            referee.forced.discard(key)


if __name__ == "__main__":
    logger.enable("homeport")
    replayed = [simulate(int(seed)) for seed in sys.argv[1:]]
    sys.stdout.writelines(f"{report.text()}\n" for report in replayed)
    sys.exit(any(report.faults for report in replayed))
