"""Orders that respect what earlier routers decided.

Candidates of one ``Candidate.group`` are equals so far. Each router of this plugin changes the order within
groups only, so that the first of ``[gateway] routers`` decides, and each next one among what it left equal.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import attrs

from homeport import Candidate

_Key = TypeVar("_Key", float, tuple[float, float])

Reorder = Callable[[Sequence[Candidate]], Iterable[Sequence[Candidate]]]
"""Takes one group, and gives it in parts, best first; the members of a part are equals, in order."""


def within_groups(candidates: Sequence[Candidate], reorder: Reorder) -> tuple[Candidate, ...]:
    """Apply a router to each group of equals, and number the groups anew."""
    parts = [
        part for group in _groups(candidates) for part in (reorder(group) if len(group) > 1 else (group,))
    ]
    return tuple(
        attrs.evolve(candidate, group=number) for number, part in enumerate(parts) for candidate in part
    )


def parts_by(group: Sequence[Candidate], key: Callable[[Candidate], _Key]) -> list[list[Candidate]]:
    """Split a group by a key, the smallest first; those of one key keep their order."""
    keys = sorted({key(each) for each in group})
    return [[each for each in group if key(each) == wanted] for wanted in keys]


def noted(candidate: Candidate, note: str) -> Candidate:
    """Add to what routers said of a candidate."""
    return attrs.evolve(candidate, note=f"{candidate.note}; {note}" if candidate.note else note)


def _groups(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Collect equals, in the order in which each group first appears."""
    found: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        found.setdefault(candidate.group, []).append(candidate)
    return list(found.values())
