"""Tiers: words for classes of models, resolved against the models at hand."""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

from homeport.domain.models import Capability
from homeport.models.names import DEFAULT_TAG
from homeport.plugin.protocols import Candidate

AUTO = "auto"
"""The name that leaves the choice among all models to the routers."""
INHERIT = "inherit"
"""The name that stands for the configured default."""


class Tier(StrEnum):
    """A class of models."""

    FAST = "fast"
    BALANCED = "balanced"
    POWER = "power"
    REMOTE = "remote"


TIER_ALIASES: Mapping[str, Tier] = {"haiku": Tier.FAST, "sonnet": Tier.BALANCED, "opus": Tier.POWER}
"""Words that agents use for the tiers."""

_BOUNDS: Mapping[Tier, tuple[float, float]] = {
    Tier.FAST: (0, 2e9),
    Tier.BALANCED: (2e9, 14e9),
    Tier.POWER: (14e9, math.inf),
}
"""Parameters of the models of a class: more than the first, at most the second."""

Groups = tuple[tuple[Candidate, ...], ...]
"""Candidates in the order in which they are considered: a group only where none before it can serve."""


def word_of(name: str) -> str:
    """Give a name in lower case, without the tag that some clients add to every name."""
    return name.strip().lower().removesuffix(f":{DEFAULT_TAG}")


def tier_of(word: str) -> Tier | None:
    """Read the word for a tier; None where it is none."""
    lowered = word.lower()
    if lowered in TIER_ALIASES:
        return TIER_ALIASES[lowered]
    return Tier(lowered) if lowered in set(Tier) else None


def tier_groups(tier: Tier, offers: Sequence[Candidate], wanted: Capability) -> Groups:
    """Resolve a tier by the size of the models at hand.

    First the models of the class on this machine, the largest first. Where there is none that can serve, the
    next smaller ones, then the next larger ones, each on its own, then models of the class elsewhere.
    Models whose size is unknown are in no class but ``remote``.

    Args:
        tier: Which one.
        offers: All models with their backends.
        wanted: What they must offer.
    """
    able = [offer for offer in offers if wanted in offer.model.capabilities]
    remote = [offer for offer in able if offer.model.is_remote]
    if tier is Tier.REMOTE:
        return (tuple(remote),) if remote else ()
    low, high = _BOUNDS[tier]
    local = sorted((offer for offer in able if not offer.model.is_remote), key=_size, reverse=True)
    known = [offer for offer in local if _size(offer)]
    inside = [offer for offer in known if low < _size(offer) <= high]
    below = [offer for offer in known if _size(offer) <= low]
    above = sorted((offer for offer in known if _size(offer) > high), key=_size)
    unknown = [offer for offer in local if not _size(offer)]
    elsewhere = sorted((offer for offer in remote if low < _size(offer) <= high), key=_size, reverse=True)
    groups = (inside, *_by_size(below), *_by_size(above), unknown, elsewhere)
    return tuple(tuple(group) for group in groups if group)


def _size(offer: Candidate) -> int:
    return offer.model.parameter_count


def _by_size(offers: Sequence[Candidate]) -> list[list[Candidate]]:
    """Split sorted offers where the size changes."""
    groups: list[list[Candidate]] = []
    for offer in offers:
        if not groups or _size(groups[-1][0]) != _size(offer):
            groups.append([])
        groups[-1].append(offer)
    return groups
