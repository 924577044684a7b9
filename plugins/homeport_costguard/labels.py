"""Whom and what an attempt is accounted to."""

from collections.abc import Iterator

import attrs

from homeport import Candidate, Request
from homeport_costguard.config import Scope
from homeport_costguard.prices import plain_name

ALL = "all"
"""Value of the one account that counts everything."""
NO_KEY = "none"
"""Value of the account of requests without a key."""
MOST_TAGS = 32
MOST_CHARACTERS = 200
"""Of one label; the rest is cut off."""


@attrs.frozen(kw_only=True)
class Labels:
    """The labels of one attempt; an empty one is not accounted by.

    Attributes:
        key: Digest of the API key.
        agent: Name of the agent.
        job: Name of the job.
        tags: Further names, each once.
        model: Name of the model, without ``:latest``.
        backend: Name of the backend.
        is_remote: Whether it leaves this machine.
    """

    key: str = NO_KEY
    agent: str = ""
    job: str = ""
    tags: tuple[str, ...] = ()
    model: str = ""
    backend: str = ""
    is_remote: bool = False

    @classmethod
    def of(cls, request: Request, candidate: Candidate) -> "Labels":
        """Read the labels of an attempt."""
        terms = request.terms
        tags = tuple(dict.fromkeys(_clean(tag) for tag in terms.tags[:MOST_TAGS]))
        return cls(
            key=_clean(request.owner) or NO_KEY,
            agent=_clean(terms.agent),
            job=_clean(terms.job),
            tags=tuple(tag for tag in tags if tag),
            model=_clean(plain_name(candidate.model.name)),
            backend=_clean(candidate.backend),
            is_remote=candidate.model.is_remote,
        )

    def accounts(self) -> Iterator[tuple[str, str]]:
        """List scope and value of each account that an attempt falls under."""
        yield Scope.GLOBAL.value, ALL
        for scope in (Scope.KEY, Scope.AGENT, Scope.JOB, Scope.MODEL):
            value = getattr(self, scope.value)
            if value:
                yield scope.value, value
        for tag in self.tags:
            yield Scope.TAG.value, tag


def _clean(text: str) -> str:
    """Make a label that the ledger can hold: bounded, and of whole characters."""
    return text[:MOST_CHARACTERS].encode("utf-8", "replace").decode()
