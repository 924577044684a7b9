"""Who runs, who waits, and who is turned away."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager

import attrs

from homeport.config.gateway_settings import GatewaySettings
from homeport.domain.overload import DeadlineError, OverloadedError
from homeport.gateway.admission.agents import AgentShare
from homeport.gateway.admission.front_door import FrontDoor
from homeport.gateway.admission.limits import FIRST_LIMIT
from homeport.gateway.admission.line import Line, TargetLoad
from homeport.gateway.admission.places import Places
from homeport.gateway.admission.service_time import whole_retry_seconds
from homeport.gateway.admission.statistics import AdmissionRecord, AdmissionStats
from homeport.gateway.admission.turns import Waiter
from homeport.gateway.admission.visits import Visit
from homeport.gateway.admission.waiting import STALE_SHARE
from homeport.gateway.deadline import TOTAL, Deadline
from homeport.gateway.target import TargetKey
from homeport.plugin.protocols import Request

QUEUE = "queue"
"""Stage of a request that waits for a place."""
_FILLED_SHARE = 0.8
"""A queue holds so much of the work that would be served before the oldest is stale: service times vary."""
_RETRY_SPREAD = 0.25
"""Clients that are turned away together come back over so much more time."""


@attrs.define(eq=False, kw_only=True)
class Place:
    """A place at a target.

    Attributes:
        waited_seconds: How long it was waited for.
    """

    waited_seconds: float
    _line: Line
    _owner: str
    _agent: AgentShare | None
    _epoch: int
    _began_at: float
    _error: BaseException | None = attrs.field(default=None, init=False)
    _is_noted: bool = attrs.field(default=False, init=False)

    def note(self, error: BaseException | None) -> None:
        """Say how the call ended: the first word counts; without one, how the context is left."""
        if not self._is_noted:
            self._is_noted, self._error = True, error


class Admission:
    """Gives requests places at targets, in good order, within bounds.

    Args:
        settings: Bounds and shares.
        chance: Spreads the times at which clients are told to come back.
    """

    def __init__(self, settings: GatewaySettings, chance: random.Random) -> None:
        self._settings = settings
        self._chance = chance
        self._door = FrontDoor(settings)
        self._places = Places(settings)
        self._record = AdmissionRecord()

    def enter(self, request: Request) -> AbstractContextManager[Visit]:
        """Come into the house, for as long as the context lasts.

        Raises:
            DrainingError: The host is stopping: on entry after :meth:`close`, later by :meth:`cut`.
            RateLimitedError: The owner of the request asks for more than it may.
        """
        return self._door.enter(request.owner)

    @asynccontextmanager
    async def place(
        self, request: Request, key: TargetKey, slots: int, deadline: Deadline
    ) -> AsyncIterator[Place]:
        """Have a place at a target, for as long as the context lasts.

        Args:
            request: Who wants it.
            key: The target.
            slots: How many requests it serves at once; 0 where it does not tell.
            deadline: Of the request.

        Raises:
            OverloadedError: Too many wait, or the wait would be too long; has the time to come back.
            DeadlineError: None was free in time; of stage ``queue``, or ``total``.
        """
        deadline.check()
        line = self._places.line_of(key, slots, _now())
        agent = self._places.agents.enter(request.owner, request.terms.agent)
        try:
            place = await self._taken(line, request, agent, deadline)
            try:
                yield place
            except BaseException as error:
                place.note(error)
                raise
            finally:
                self._leave(place)
        finally:
            self._places.agents.leave(agent)

    def load_of(self, key: TargetKey) -> TargetLoad:
        """Tell how busy a target is."""
        line = self._places.lines.get(key)
        return TargetLoad(in_flight=0, waiting=0, limit=FIRST_LIMIT) if line is None else line.load

    def spend_tokens(self, owner: str, tokens: int) -> None:
        """Count tokens against ``tokens_per_minute`` of an owner."""
        self._door.spend_tokens(owner, tokens)

    def stats(self) -> AdmissionStats:
        """Sum up."""
        return self._record.stats(
            _now(),
            size=self._places.waiting,
            max_size=self._settings.max_waiting,
            active=self._places.running,
            depths=self._places.depths,
            targets={str(key): line.load for key, line in self._places.lines.items()},
        )

    def reconfigure(self, settings: GatewaySettings) -> None:
        """Adopt other bounds; nobody who runs or waits is turned out."""
        self._settings = settings
        self._door.reconfigure(settings)
        self._places.reconfigure(settings)

    def close(self) -> None:
        """Let nobody in any more: the host is stopping."""
        self._door.close()

    def cut(self) -> None:
        """End what runs and what waits, each with a :class:`DrainingError`."""
        self._door.cut()

    async def _taken(
        self, line: Line, request: Request, agent: AgentShare | None, deadline: Deadline
    ) -> Place:
        came_at = _now()
        if self._places.can_start(line, agent):
            self._places.start(line, request.owner, agent)
        else:
            waiter = self._waiter(line, request, agent, deadline)
            await self._granted(line, waiter, self._lateness(waiter, deadline))
        now = _now()
        self._record.start(now - came_at)
        return Place(
            waited_seconds=now - came_at,
            line=line,
            owner=request.owner,
            agent=agent,
            epoch=line.adaptive.epoch,
            began_at=now,
        )

    def _waiter(self, line: Line, request: Request, agent: AgentShare | None, deadline: Deadline) -> Waiter:
        """Let a request wait.

        Raises:
            OverloadedError: There is no use in it.
        """
        budget = min(self._settings.timeouts.queue_seconds, deadline.left())
        rank = int(request.priority)
        ahead = line.queue.ahead_of(rank, request.owner, agent)
        wait = line.service.least_wait_seconds(ahead, line.limit)
        if wait > budget:
            self._record.refused += 1
            message = f"a place at {line.key} is not free for {wait:.1f} s, and {budget:.1f} s are left"
            raise self._overloaded(line, message, hint="Try again later, or ask another model")
        self._make_room(line, rank)
        waiter = Waiter(
            owner=request.owner,
            agent=agent,
            born_rank=rank,
            entered_at=_now(),
            budget_seconds=budget,
            granted=asyncio.get_running_loop().create_future(),
        )
        self._places.wait(line, waiter)
        return waiter

    def _make_room(self, line: Line, rank: int) -> None:
        """See that there is room for one more, in the house and in its queue.

        Raises:
            OverloadedError: There is none, and nobody less urgent waits.
        """
        seconds = self._settings.timeouts.queue_seconds * STALE_SHARE * _FILLED_SHARE
        if self._places.waiting >= self._settings.max_waiting:
            message = f"{self._places.waiting} requests wait, the most allowed"
            hint = "Raise [gateway] max_waiting, or try again later"
            self._displace(self._places.least_urgent(_now()), line, rank, message, hint)
        elif len(line.queue) >= line.service.most_waiting(line.limit, seconds):
            newest = line.queue.newest_of_lowest()
            message = f"{len(line.queue)} requests wait for {line.key}, {seconds:g} s of work"
            hint = "Try again later, or ask another model"
            self._displace(None if newest is None else (line, newest), line, rank, message, hint)

    def _displace(
        self, least: tuple[Line, Waiter] | None, line: Line, rank: int, message: str, hint: str
    ) -> None:
        """Send the least urgent away, where it is less urgent than a new one.

        Raises:
            OverloadedError: It is not.
        """
        if least is None or least[1].rank <= rank:
            self._record.refused += 1
            raise self._overloaded(line, message, hint=hint)
        shed_line, shed = least
        self._places.drop(shed_line, shed)
        if not shed.granted.done():
            self._record.shed += 1
            message = f"{message}, and a more urgent one came"
            shed.granted.set_exception(self._overloaded(shed_line, message, hint=hint))

    def _lateness(self, waiter: Waiter, deadline: Deadline) -> DeadlineError:
        """Say what a request fails with that waits for too long."""
        if waiter.budget_seconds < self._settings.timeouts.queue_seconds:
            return DeadlineError(TOTAL, deadline.seconds)
        return DeadlineError(QUEUE, waiter.budget_seconds)

    async def _granted(self, line: Line, waiter: Waiter, lateness: DeadlineError) -> None:
        """Wait for a place, as long as there is time."""
        loop = asyncio.get_running_loop()
        timer = loop.call_at(waiter.entered_at + waiter.budget_seconds, self._expire, line, waiter, lateness)
        try:
            await waiter.granted
        except asyncio.CancelledError:
            self._places.drop(line, waiter)
            self._let_go(line, waiter)
            raise
        finally:
            timer.cancel()

    def _let_go(self, line: Line, waiter: Waiter) -> None:
        """Part with a client that left in the queue, or in the moment in which something came of it."""
        granted = waiter.granted
        if not granted.cancelled() and granted.exception() is not None:
            return
        self._record.cancelled += 1
        if not granted.cancelled():
            self._places.leave(line, waiter.owner, waiter.agent, _now())

    def _expire(self, line: Line, waiter: Waiter, lateness: DeadlineError) -> None:
        self._places.drop(line, waiter)
        if not waiter.granted.done():
            self._record.timed_out += 1
            waiter.granted.set_exception(lateness)

    def _leave(self, place: Place) -> None:
        """Give a place back, and learn from how it was used."""
        line, error, now = place._line, place._error, _now()  # noqa: SLF001 - a place is opaque to its holder
        seconds = now - place._began_at  # noqa: SLF001
        self._count_end(error, now, seconds)
        if not isinstance(error, asyncio.CancelledError | GeneratorExit):
            line.service.observe(seconds)
        line.adaptive.note(error, epoch=place._epoch, in_flight=line.in_flight)  # noqa: SLF001
        self._places.leave(line, place._owner, place._agent, now)  # noqa: SLF001

    def _count_end(self, error: BaseException | None, now: float, seconds: float) -> None:
        self._record.end(seconds)
        match error:
            case None:
                self._record.complete(now)
            case DeadlineError():
                self._record.timed_out += 1
            case asyncio.CancelledError() | GeneratorExit():
                self._record.cancelled += 1
            case _:
                self._record.failed += 1

    def _overloaded(self, line: Line, message: str, *, hint: str) -> OverloadedError:
        spread = self._chance.uniform(1, 1 + _RETRY_SPREAD)
        seconds = whole_retry_seconds(line.retry_seconds() * spread)
        return OverloadedError(message, retry_after_seconds=seconds, hint=hint)


def _now() -> float:
    return asyncio.get_running_loop().time()
