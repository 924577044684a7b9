"""The places of all targets, and who gets the next one."""

from collections.abc import Iterable, Mapping
from operator import attrgetter

from homeport.config.gateway_settings import GatewaySettings
from homeport.gateway.admission.agents import AgentShare, AgentShares
from homeport.gateway.admission.line import Line
from homeport.gateway.admission.turns import Waiter
from homeport.gateway.admission.waiting import BATCH, CLASSES, INTERACTIVE, BatchShare, TargetQueue
from homeport.gateway.target import TargetKey

_MOST_LINES = 4096
"""Targets that are remembered before the idle ones are forgotten."""


class Places:
    """Hands places out, and wakes those whose turn it is.

    Args:
        settings: Bounds over all targets, and the rules of the queues.

    Attributes:
        agents: Bounds per agent.
        running: Requests that have a place.
        waiting: Requests that wait for one.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self.agents = AgentShares(settings.max_running_per_agent)
        self.running = 0
        self.waiting = 0
        self._settings = settings
        self._lines: dict[TargetKey, Line] = {}
        self._short: dict[Line, None] = {}
        self._share = BatchShare(settings.batch_share)
        self._turns = 0

    @property
    def lines(self) -> Mapping[TargetKey, Line]:
        """All targets that are remembered."""
        return self._lines

    @property
    def depths(self) -> tuple[int, ...]:
        """How many wait in each class, most urgent first."""
        sums = [0] * CLASSES
        for line in self._lines.values():
            for rank, depth in enumerate(line.queue.depths):
                sums[rank] += depth
        return tuple(sums)

    def line_of(self, key: TargetKey, slots: int, now: float) -> Line:
        """Find a target, which announces so many places."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = self._new_line(key)
        line.slots = max(slots, 0)
        line.queue.update(now)
        return line

    def can_start(self, line: Line, agent: AgentShare | None) -> bool:
        """Tell whether a request may run at once: there is a place that nobody waits for."""
        return (
            line.has_place
            and self._has_room
            and (agent is None or agent.may_run)
            and not line.queue.has_runnable
        )

    def start(self, line: Line, owner: str, agent: AgentShare | None) -> None:
        """Give a place."""
        self.running += 1
        line.in_flight += 1
        line.queue.start(owner)
        if agent is not None:
            agent.running += 1

    def leave(self, line: Line, owner: str, agent: AgentShare | None, now: float) -> None:
        """Take a place back, and give it to whoever is next."""
        self.running -= 1
        line.in_flight -= 1
        line.queue.end(owner)
        line.queue.update(now)
        lines = [line]
        if agent is not None:
            agent.running -= 1
            lines += self._released(agent)
        self._serve(lines)

    def wait(self, line: Line, waiter: Waiter) -> None:
        """Let a request wait."""
        line.queue.add(waiter)
        self.waiting += 1
        # Where there is a place, the target announced more, or the agent has enough and learns who waits.
        self._serve([line])

    def drop(self, line: Line, waiter: Waiter) -> None:
        """Let a request wait no more, where it still does."""
        if waiter.is_queued:
            line.queue.remove(waiter)
            self.waiting -= 1

    def least_urgent(self, now: float) -> tuple[Line, Waiter] | None:
        """Find who would be missed least: the newest of the lowest class of all."""
        found: tuple[Line, Waiter] | None = None
        for line in self._lines.values():
            line.queue.update(now)
            waiter = line.queue.newest_of_lowest()
            if waiter is not None and (found is None or _urgency(waiter) > _urgency(found[1])):
                found = line, waiter
        return found

    def reconfigure(self, settings: GatewaySettings) -> None:
        """Adopt other bounds; those who run stay, and those who may run now do."""
        self._settings = settings
        self._share.share = settings.batch_share
        self.agents.most = settings.max_running_per_agent
        for line in self._lines.values():
            line.queue.reconfigure(ageing_seconds=settings.ageing_seconds, batch_share=settings.batch_share)
        for agent in self.agents.all():
            self._released(agent)
        self._serve(self._lines.values())

    @property
    def _has_room(self) -> bool:
        most = self._settings.max_running
        return not most or self.running < most

    def _new_line(self, key: TargetKey) -> Line:
        if len(self._lines) >= _MOST_LINES:
            self._lines = {each: line for each, line in self._lines.items() if not line.is_idle}
        queue = TargetQueue(
            key, ageing_seconds=self._settings.ageing_seconds, batch_share=self._settings.batch_share
        )
        return Line(key, queue)

    def _released(self, agent: AgentShare) -> list[Line]:
        """Let what an agent has waiting take its turns again, where one more of it may run; say where."""
        if not agent.held or not agent.may_run:
            return []
        held, agent.held = agent.held, {}
        return [self._lines[target] for target in dict.fromkeys(each.release() for each in held)]

    def _serve(self, lines: Iterable[Line]) -> None:
        """Give the free places of targets away."""
        if self._settings.max_running:
            self._short.update(dict.fromkeys(lines))
            self._serve_short()
            return
        self._short.clear()
        for line in lines:
            while line.has_place and self._grant_next(line):
                pass

    def _serve_short(self) -> None:
        """Give places away that several targets lack: to the most urgent, and by turns."""
        while self._has_room and self._short:
            for line in [each for each in self._short if not (each.has_place and each.queue.has_runnable)]:
                del self._short[line]
            kind = self._kind_due()
            offers = [
                (rank, line.turn, number, line)
                for number, line in enumerate(self._short)
                if (rank := line.queue.first_rank(kind)) is not None
            ]
            if not offers:
                return
            self._grant_next(min(offers)[-1], kind)

    def _kind_due(self) -> range:
        offered = [
            any(line.queue.first_rank(kind) is not None for line in self._short)
            for kind in (INTERACTIVE, BATCH)
        ]
        if all(offered):
            return BATCH if self._share.is_due() else INTERACTIVE
        return INTERACTIVE if offered[0] else BATCH

    def _grant_next(self, line: Line, kind: range | None = None) -> bool:
        """Give a place to whose turn it is; False where nobody may run."""
        waiter = line.queue.take(kind)
        if waiter is None:
            return False
        self.waiting -= 1
        if not waiter.granted.done():
            self._turns += 1
            line.turn = self._turns
            self.start(line, waiter.owner, waiter.agent)
            waiter.granted.set_result(None)
        return True


_urgency = attrgetter("rank", "entered_at")
