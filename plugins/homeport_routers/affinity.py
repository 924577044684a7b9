"""Keeps a conversation where its beginning is likely to be in the prefix cache."""

from collections.abc import Sequence

from homeport import Candidate, Request
from homeport_routers.groups import noted, parts_by, within_groups

_MOST_BUSY = 1.0
"""Requests per place from which another backend is better: reading the prompt is shorter than waiting."""


class Affinity:
    """Prefers who served the conversation last, unless all its places are taken."""

    def rank(self, request: Request, candidates: Sequence[Candidate]) -> Sequence[Candidate]:  # noqa: ARG002 - standings tell
        """Put first, in each group, who served this session or this beginning before."""
        told = [noted(each, _note(each)) if each.standing.served_before else each for each in candidates]
        return within_groups(told, lambda group: parts_by(group, _rank))


def _rank(candidate: Candidate) -> float:
    return 0.0 if candidate.standing.served_before and not _is_full(candidate) else 1.0


def _is_full(candidate: Candidate) -> bool:
    standing = candidate.standing
    return (standing.in_flight + standing.waiting) / max(1, standing.slots) >= _MOST_BUSY


def _note(candidate: Candidate) -> str:
    return "served this conversation, is full" if _is_full(candidate) else "served this conversation"
