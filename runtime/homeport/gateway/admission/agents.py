"""How many requests of each agent run, over all targets."""

from typing import Protocol

import attrs

from homeport.gateway.target import TargetKey


class Held(Protocol):
    """What an agent has waiting at one target and must not run for now."""

    def release(self) -> TargetKey:
        """Let it run again, and tell where it waits."""
        ...


@attrs.define(eq=False)
class AgentShare:
    """One agent of one owner.

    Attributes:
        crowd: All agents.
        name: Owner and name of the agent.
        running: Requests of it that have a place.
        held: What it has waiting and must not run, because as much of it runs as may.
    """

    crowd: "AgentShares"
    name: tuple[str, str]
    running: int = 0
    present: int = 0
    held: dict[Held, None] = attrs.field(factory=dict)

    @property
    def may_run(self) -> bool:
        """Whether one more may run."""
        return self.running < self.crowd.most


class AgentShares:
    """The agents that have requests here.

    Args:
        most: Requests of one agent that run at once.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._shares: dict[tuple[str, str], AgentShare] = {}

    def __len__(self) -> int:
        return len(self._shares)

    def enter(self, owner: str, agent: str) -> AgentShare | None:
        """Count a request; None for one that no agent asks."""
        if not agent:
            return None
        name = (owner, agent)
        share = self._shares.get(name)
        if share is None:
            share = self._shares[name] = AgentShare(self, name)
        share.present += 1
        return share

    def leave(self, share: AgentShare | None) -> None:
        """Count a request no more."""
        if share is None:
            return
        share.present -= 1
        if not share.present:
            del self._shares[share.name]

    def all(self) -> tuple[AgentShare, ...]:
        """List them."""
        return tuple(self._shares.values())
