"""How capable candidates are, as far as their names, sizes and tiers tell."""

import re
from collections.abc import Callable, Sequence
from enum import IntEnum

from homeport import Candidate, ModelInfo

_PARAMETERS_IN_NAME = re.compile(r"(?<![a-z0-9.])(\d{1,4}(?:\.\d{1,3})?)([bm])(?![a-z0-9])")
_SCALES = {"b": 1e9, "m": 1e6}
_BITS_PER_BYTE = 8
_USUAL_BITS = 4.5
"""Bits per weight of a file that does not tell: most are quantised to four bits with scales."""
_FAST_PARAMETERS = 2e9
_BALANCED_PARAMETERS = 14e9
"""The most of a model of these classes, as in the tiers of the gateway."""


class Level(IntEnum):
    """Classes of capability, as tiers name them."""

    FAST = 0
    BALANCED = 1
    POWER = 2
    REMOTE = 3


_TIERS = {level.name.lower(): level for level in Level}


def parameters(model: ModelInfo) -> float:
    """Tell or guess the number of weights: as declared, by the name, by the size; 0 where nothing helps."""
    if model.parameter_count:
        return float(model.parameter_count)
    named = _PARAMETERS_IN_NAME.search(model.name.casefold())
    if named:
        return float(named[1]) * _SCALES[named[2]]
    return model.size_bytes * _BITS_PER_BYTE / (model.bits_per_weight or _USUAL_BITS)


def capability(candidate: Candidate) -> tuple[float, float]:
    """Give a key that is larger for a more capable candidate.

    A remote model of unknown size counts as larger than any known one, a local one as smaller.
    """
    known = parameters(candidate.model)
    unknown = float("inf") if candidate.model.is_remote else 0.0
    tier = _TIERS.get(candidate.standing.tier)
    return (-1.0 if tier is None else float(tier), known or unknown)


def levels(candidates: Sequence[Candidate]) -> list[Level]:
    """Put each candidate into a class: by its tier where all have one, else by size.

    Sizes count as they do for the gateway's tiers. Where that puts all into one class, the smallest is fast,
    the largest is power, and what lies between is balanced. Where the size is unknown, a remote model is
    remote and a local one balanced.
    """
    tiers = [_TIERS.get(candidate.standing.tier) for candidate in candidates]
    known = [tier for tier in tiers if tier is not None]
    if len(known) == len(tiers):
        return known
    sizes = sorted({parameters(candidate.model) for candidate in candidates} - {0.0})
    if len({_by_bounds(size) for size in sizes}) > 1:
        return [_level(candidate.model, _by_bounds) for candidate in candidates]
    return [_level(candidate.model, lambda size: _by_place(size, sizes)) for candidate in candidates]


def is_same_model(left: Candidate, right: Candidate) -> bool:
    """Tell whether two candidates are backends of one model: of one name, or of equal weights."""
    return (
        left.model.name.casefold() == right.model.name.casefold()
        or left.model.digest == right.model.digest != ""
    )


def _level(model: ModelInfo, by_size: Callable[[float], Level]) -> Level:
    size = parameters(model)
    if size:
        return by_size(size)
    return Level.REMOTE if model.is_remote else Level.BALANCED


def _by_bounds(size: float) -> Level:
    if size <= _FAST_PARAMETERS:
        return Level.FAST
    return Level.BALANCED if size <= _BALANCED_PARAMETERS else Level.POWER


def _by_place(size: float, sizes: Sequence[float]) -> Level:
    if size == sizes[0]:
        return Level.FAST
    return Level.POWER if size == sizes[-1] else Level.BALANCED
