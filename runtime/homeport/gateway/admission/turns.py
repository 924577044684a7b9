"""Requests of one class that wait for one target: owners take turns, and so do the agents of an owner."""

import heapq
from collections import OrderedDict
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import asyncio

    from homeport.gateway.admission.agents import AgentShare
    from homeport.gateway.target import TargetKey

_SPARE_KEYS = 64
"""Outdated keys that a heap may hold, and four times as many as owners wait."""


@attrs.define(eq=False, kw_only=True)
class Waiter:
    """A request that waits for a place; times in seconds on the clock of the event loop.

    Attributes:
        owner: Who asks.
        agent: The agent among those; None where there is none.
        born_rank: Class that was asked for, 0 is the most urgent.
        rank: Class that it has by now.
        entered_at: When it came.
        joined_at: When it came to its present class.
        budget_seconds: How long it may wait.
        granted: Done when it has a place, or never gets one.
        is_queued: Whether it is in a queue.
    """

    owner: str
    agent: "AgentShare | None"
    born_rank: int
    rank: int = attrs.field(init=False)
    entered_at: float
    joined_at: float = attrs.field(init=False)
    budget_seconds: float
    granted: "asyncio.Future[None]"
    is_queued: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.begin_again()

    def begin_again(self) -> None:
        """Return to the class that was asked for."""
        self.rank, self.joined_at = self.born_rank, self.entered_at


@attrs.define(eq=False)
class Flow:
    """What one agent of one owner has waiting in one class of one target, oldest first."""

    queue: "ClassQueue"
    owner: str
    agent: "AgentShare | None"
    waiters: OrderedDict[Waiter, None] = attrs.field(factory=OrderedDict)

    def release(self) -> "TargetKey":
        """Let it run again, and tell where it waits."""
        self.queue.release(self)
        return self.queue.target


@attrs.define(eq=False)
class _OwnerFlows:
    """What one owner has waiting: all of it by agent, and what may run, in the order of turns."""

    flows: "dict[AgentShare | None, Flow]" = attrs.field(factory=dict)
    ready: OrderedDict[Flow, None] = attrs.field(factory=OrderedDict)


@attrs.define
class _Share:
    """How many requests of an owner run and wait at a target, and when it last had its turn."""

    running: int = 0
    waiting: int = 0
    turn: int = 0


class OwnerShares:
    """What owners have of one target: first is who has least of it, then whose last turn is longest ago."""

    def __init__(self) -> None:
        self._shares: dict[str, _Share] = {}
        self._turns = 0

    def key(self, owner: str) -> tuple[int, int]:
        """Where an owner stands; the smallest is first."""
        share = self._shares[owner]
        return share.running, share.turn

    def wait(self, owner: str) -> None:
        """Count one that waits; whoever is new stands behind those whose turn was before."""
        self._of(owner).waiting += 1

    def wait_no_more(self, owner: str) -> None:
        """Count one that waits no more."""
        self._shares[owner].waiting -= 1
        self._forget(owner)

    def start(self, owner: str) -> None:
        """Count one that runs."""
        share = self._of(owner)
        share.running += 1
        share.turn = self._next_turn()

    def end(self, owner: str) -> None:
        """Count one that runs no more."""
        self._shares[owner].running -= 1
        self._forget(owner)

    def _of(self, owner: str) -> _Share:
        share = self._shares.get(owner)
        if share is None:
            share = self._shares[owner] = _Share(turn=self._next_turn())
        return share

    def _next_turn(self) -> int:
        self._turns += 1
        return self._turns

    def _forget(self, owner: str) -> None:
        share = self._shares[owner]
        if not share.running and not share.waiting:
            del self._shares[owner]


class ClassQueue:
    """One class; all operations take O(log n) in the number of owners, and O(1) in that of requests.

    A heap holds a key of every owner who has something that may run. Keys that an owner had before stay in
    it until they come to the top, where they are recognised.

    Args:
        target: Whose queue it is.
        shares: What owners have of the target.

    Attributes:
        arrivals: All requests, in the order in which they came to this class.
        unbound: How many of them no agent asks, so that nothing can hold them back.
    """

    def __init__(self, target: "TargetKey", shares: OwnerShares) -> None:
        self.target = target
        self.arrivals: OrderedDict[Waiter, None] = OrderedDict()
        self.unbound = 0
        self._shares = shares
        self._owners: dict[str, _OwnerFlows] = {}
        self._heap: list[tuple[tuple[int, int], str]] = []

    def __len__(self) -> int:
        return len(self.arrivals)

    @property
    def has_runnable(self) -> bool:
        """Whether one of them may run, as far as its agent is concerned."""
        return self._front() is not None

    def add(self, waiter: Waiter) -> None:
        """Put a request behind those of its agent."""
        self.arrivals[waiter] = None
        owner = self._owners.get(waiter.owner)
        if owner is None:
            owner = self._owners[waiter.owner] = _OwnerFlows()
        flow = owner.flows.get(waiter.agent)
        if flow is None:
            flow = owner.flows[waiter.agent] = Flow(self, waiter.owner, waiter.agent)
            self.release(flow)
        flow.waiters[waiter] = None
        self.unbound += waiter.agent is None

    def remove(self, waiter: Waiter) -> None:
        """Take a request out."""
        del self.arrivals[waiter]
        owner = self._owners[waiter.owner]
        flow = owner.flows[waiter.agent]
        del flow.waiters[waiter]
        self.unbound -= waiter.agent is None
        if flow.waiters:
            return
        del owner.flows[waiter.agent]
        owner.ready.pop(flow, None)
        if flow.agent is not None:
            flow.agent.held.pop(flow, None)
        if not owner.flows:
            del self._owners[waiter.owner]

    def take(self, *, newest_first: bool) -> Waiter | None:
        """Take out the request whose turn it is; None where none may run."""
        flow = self._front()
        if flow is None:
            return None
        waiter = next(reversed(flow.waiters)) if newest_first else next(iter(flow.waiters))
        self._owners[flow.owner].ready.move_to_end(flow)
        self.remove(waiter)
        return waiter

    def count_of(self, owner: str, agent: "AgentShare | None") -> int:
        """Count what an agent of an owner has waiting."""
        flows = self._owners.get(owner)
        flow = None if flows is None else flows.flows.get(agent)
        return 0 if flow is None else len(flow.waiters)

    def release(self, flow: Flow) -> None:
        """Let a flow run that is new, or was held back."""
        self._owners[flow.owner].ready[flow] = None
        self.renew(flow.owner)

    def renew(self, owner: str) -> None:
        """Note that an owner stands elsewhere among the others."""
        flows = self._owners.get(owner)
        if flows is None or not flows.ready:
            return
        heapq.heappush(self._heap, (self._shares.key(owner), owner))
        if len(self._heap) > _SPARE_KEYS + 4 * len(self._owners):
            self._heap = [(self._shares.key(name), name) for name, each in self._owners.items() if each.ready]
            heapq.heapify(self._heap)

    def _front(self) -> Flow | None:
        """Find the flow whose turn it is; hold back those whose agent has enough."""
        while self._heap:
            key, name = self._heap[0]
            owner = self._owners.get(name)
            if owner is None or not owner.ready or self._shares.key(name) != key:
                heapq.heappop(self._heap)
                continue
            flow = next(iter(owner.ready))
            if flow.agent is None or flow.agent.may_run:
                return flow
            del owner.ready[flow]
            flow.agent.held[flow] = None
        return None
