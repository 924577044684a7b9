"""One model's part of the memory, from before it is loaded until its process has ended."""

from typing import Protocol

import attrs
import psutil


class Tenant(Protocol):
    """A loaded model, as far as the room that it lives in must know it."""

    @property
    def is_pinned(self) -> bool:
        """Whether it never leaves by itself."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether nobody uses it, or is about to, and it is not on its way out."""
        ...

    @property
    def is_leaving(self) -> bool:
        """Whether it is out of service and ends as soon as nobody uses it."""
        ...

    @property
    def used_at(self) -> float:
        """When it was used last, on the loop's clock."""
        ...

    async def leave(self, reason: str) -> None:
        """Go out of service, and end at once where nobody uses it: it is gone then on return."""
        ...


@attrs.frozen
class Held:
    """Bytes in memory of a process, and those of them that are mapped files."""

    resident_bytes: int
    mapped_bytes: int


@attrs.define(kw_only=True, eq=False)
class Claim:
    """Memory that a model was granted.

    Attributes:
        name: Of the model, for people.
        predicted_bytes: What it takes at its peak.
        cache_bytes: What its keys and values may take of it.
        pid: Its process; None before there is one.
        tenant: The loaded model; None while it is being loaded.
    """

    name: str
    predicted_bytes: int
    cache_bytes: int
    pid: int | None = None
    tenant: Tenant | None = None

    @property
    def may_leave(self) -> bool:
        """Whether it can be made to go, now or when nobody uses it any more."""
        return self.tenant is None or not self.tenant.is_pinned

    @property
    def is_idle(self) -> bool:
        """Whether it can be made to go now."""
        return self.tenant is not None and self.tenant.is_idle and self.may_leave

    @property
    def is_leaving(self) -> bool:
        """Whether it goes already."""
        return self.tenant is not None and self.tenant.is_leaving

    @property
    def used_at(self) -> float:
        """When its model was used last; what is being loaded will be used."""
        return float("inf") if self.tenant is None else self.tenant.used_at

    def held(self) -> Held:
        """Ask the system what its process holds now, which blocks on its files."""
        if self.pid is None:
            return Held(0, 0)
        try:
            memory = psutil.Process(self.pid).memory_info()
        except psutil.Error:
            return Held(0, 0)
        return Held(int(memory.rss), int(getattr(memory, "shared", 0)))
