"""The memory of this machine that models may take."""

from typing import Self

import attrs

from homeport.config.model_settings import ModelSettings
from homeport.domain.memory_amount import MemoryAmount
from homeport.worker.memory import available_bytes, total_bytes


@attrs.frozen(kw_only=True)
class MachineMemory:
    """What there is, in bytes.

    Attributes:
        total_bytes: Of the machine or its control group.
        allowed_bytes: What all models together may take of it by the settings.
        free_bytes: What a model could take now, if no other left for it.
    """

    total_bytes: int
    allowed_bytes: int
    free_bytes: int

    @classmethod
    def look(cls, settings: ModelSettings) -> Self:
        """Look at the machine."""
        total = total_bytes()
        least_free = MemoryAmount.parse(settings.least_free).of(total)
        most = MemoryAmount.parse(settings.most_memory).of(total)
        return cls(
            total_bytes=total,
            allowed_bytes=max(min(most, total - least_free), 0),
            free_bytes=max(min(most, available_bytes() - least_free), 0),
        )

    def verdict(self, needed_bytes: int) -> str:
        """Say whether a model fits: ``yes``, ``not now`` or ``no``."""
        if needed_bytes <= self.free_bytes:
            return "yes"
        return "not now" if needed_bytes <= self.allowed_bytes else "no"
