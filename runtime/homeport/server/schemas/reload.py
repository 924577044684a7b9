"""Wire structs of a reload of the settings."""

from typing import Literal

import msgspec


class ReloadAnswer(msgspec.Struct):
    """What became of the settings.

    Attributes:
        applied: Settings that changed and are in force, by dotted path.
        needs_restart: Settings that changed and are not in force before the next start.
        warnings: What is odd about them.
    """

    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]
    warnings: tuple[str, ...]
    status: Literal["reloaded"] = "reloaded"


class ReloadRefusal(msgspec.Struct):
    """Why they were not taken.

    Attributes:
        faults: What is wrong, one line each.
        error: In one sentence.
    """

    faults: tuple[str, ...]
    error: str
    status: Literal["refused"] = "refused"
