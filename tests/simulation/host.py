"""The real gateway around scripted backends, with a real ledger where there is a budget."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import attrs
from scenario import Member, Scenario

from homeport import Event, Guard, Settings
from homeport.gateway.assembly import GatewayAssembly
from homeport.gateway.events import EventBus
from homeport.gateway.pipeline import Gateway
from homeport.gateway.routing.standings import Standings
from homeport.models.aliases import AliasTable
from homeport.models.background import BackgroundTasks
from homeport.models.catalog import Catalog
from homeport.models.remote import RemoteBackend
from homeport.testing import Script, ScriptedBackend
from homeport_costguard.config import BudgetSettings, CostGuardConfig
from homeport_costguard.guard import CostGuard

ALIASES = AliasTable.load(None)
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_CALLS = "SELECT spent_calls + reserved_calls FROM accounts WHERE scope = 'global'"


class Recorder:
    """A monitor that keeps everything."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def observe(self, event: Event) -> None:
        self.events.append(event)


@attrs.frozen
class Parts:
    """Gives the gateway its plugins, as ``Construction`` does in a real host."""

    guards: Sequence[tuple[str, Guard]]

    def every(self, kind: str) -> list[tuple[str, Guard]]:
        return list(self.guards) if kind == "guards" else []

    def chosen(self, kind: str, names: tuple[str, ...]) -> list[tuple[str, object]]:
        assert not names, (kind, names)
        return []


@attrs.frozen(kw_only=True)
class Host:
    """A gateway, its backends, and what was seen of it."""

    gateway: Gateway
    backends: dict[str, ScriptedBackend]
    recorder: Recorder
    tasks: BackgroundTasks
    ledger: Path | None
    guard: CostGuard | None
    _assembly: GatewayAssembly
    _parts: Parts

    def calls_taken(self) -> int:
        """Give how many calls are charged and reserved now."""
        connection = None if self.guard is None else self.guard._writer._ledger._connection
        row = None if connection is None else connection.execute(_CALLS).fetchone()
        return 0 if row is None else row[0]

    def reload(self, settings: Settings) -> None:
        """Adopt other settings."""
        gateway = self.gateway
        gateway.adopt(self._assembly.policy(settings, self._parts, gateway.admission, gateway.breakers))


@asynccontextmanager
async def hosting(scenario: Scenario, folder: Path) -> AsyncIterator[Host]:
    """Build a host, and close it at the end."""
    chance = Random(scenario.seed + 1)
    recorder, bus = _bus()
    backends = {member.name: _backend(member, scenario.seed) for member in scenario.members}
    remote = {name: RemoteBackend(name, backend) for name, backend in backends.items()}
    guard = None if scenario.most_calls is None else _guard(scenario.most_calls, folder)
    async with BackgroundTasks() as tasks:
        tasks.start(bus.run(), name="event bus")
        assembly = GatewayAssembly(
            catalog=Catalog(remote, ALIASES),
            backends=remote,
            local={},
            standings=Standings(),
            bus=bus,
            tasks=tasks,
            is_strained=lambda: (
                scenario.strained[0] <= asyncio.get_running_loop().time() < scenario.strained[1]
            ),
            chance=chance,
        )
        parts = Parts([] if guard is None else [("cost-guard", guard)])
        yield Host(
            gateway=assembly.gateway(scenario.settings, parts),
            backends=backends,
            recorder=recorder,
            tasks=tasks,
            ledger=None if guard is None else folder / "ledger.sqlite3",
            guard=guard,
            assembly=assembly,
            parts=parts,
        )
        if guard is not None:
            await guard.aclose()


def _bus() -> tuple[Recorder, EventBus]:
    recorder = Recorder()
    return recorder, EventBus([("recorder", recorder)])


def _backend(member: Member, seed: int) -> ScriptedBackend:
    dice = Random(f"{seed}/{member.name}")
    scripts = {model: _scripts(member, dice) for model in member.models}
    return ScriptedBackend(
        member.name, scripts, slots=member.slots, continues=member.continues, accent=member.accent
    )


def _scripts(member: Member, dice: Random) -> Iterator[Script]:
    """Draw what becomes of each call, in the weather that there is when it begins."""
    while True:
        now = asyncio.get_running_loop().time()
        share = [share for since, share in member.weather if since <= now][-1]
        yield Script.draw(dice, fault_share=share, faults=member.faults)


def _guard(most_calls: int, folder: Path) -> CostGuard:
    config = CostGuardConfig(
        allow_unpriced=("*",),
        budgets={"all": BudgetSettings(period="total", hard_calls=most_calls)},
    )
    loop = asyncio.get_running_loop()

    def clock() -> datetime:
        return _EPOCH + timedelta(seconds=loop.time())

    return CostGuard(config, state=folder, clock=clock)
