"""Copies of requests for a model that is compared with the one that answers; nobody waits for them."""

from collections.abc import Awaitable, Callable

import attrs
from loguru import logger

from homeport.domain.errors import HomeportError
from homeport.domain.generation import GenerationRequest, Priority
from homeport.gateway.routing.eligibility import key_of
from homeport.gateway.target import TargetKey
from homeport.plugin.protocols import Candidate

MOST_RUNNING = 2
"""Copies that run at once; more are left out, not to take places from work that somebody waits for."""
TAG = "shadow"
"""Added to the tags of a copy, so that budgets and rules can tell it."""

Serve = Callable[[GenerationRequest, Candidate], Awaitable[None]]
"""Runs one attempt to its end, records its outcome, and drops the answer."""


@attrs.frozen
class ShadowStats:
    """What came of the copies for one target.

    Attributes:
        finished: Copies that were answered.
        failed: Copies that were not.
        left_out: Copies that were not sent, because enough were running.
    """

    finished: int = 0
    failed: int = 0
    left_out: int = 0


class Shadow:
    """Runs copies of requests.

    Args:
        serve: Serves one.
        most_running: At once.
    """

    def __init__(self, serve: Serve, *, most_running: int = MOST_RUNNING) -> None:
        self._serve = serve
        self._most_running = most_running
        self._running = 0
        self._stats: dict[TargetKey, ShadowStats] = {}

    async def run(self, request: GenerationRequest, candidate: Candidate) -> None:
        """Ask a candidate the same thing, in the background; what goes wrong stays here.

        Args:
            request: As it was asked.
            candidate: ``Decision.shadow``.
        """
        key = key_of(candidate)
        if self._running >= self._most_running:
            self._count(key, left_out=1)
            return
        self._running += 1
        try:
            await self._serve(copy_of(request), candidate)
        except Exception as error:  # noqa: BLE001 - a backend is a plugin and may raise anything
            self._count(key, failed=1)
            told = error.message if isinstance(error, HomeportError) else repr(error)
            logger.debug("shadow {} of request {} failed: {}", key, request.id, told)
        else:
            self._count(key, finished=1)
        finally:
            self._running -= 1

    def stats(self) -> dict[TargetKey, ShadowStats]:
        """Tell what came of the copies so far, by target."""
        return dict(self._stats)

    def _count(self, key: TargetKey, *, finished: int = 0, failed: int = 0, left_out: int = 0) -> None:
        before = self._stats.get(key, ShadowStats())
        self._stats[key] = ShadowStats(
            before.finished + finished, before.failed + failed, before.left_out + left_out
        )


def copy_of(request: GenerationRequest) -> GenerationRequest:
    """Copy a request under an id of its own, as work that can wait.

    Neither the agent nor the job asked for the copy: it takes none of their places and none of their budget.
    """
    terms = attrs.evolve(request.terms, tags=(*request.terms.tags, TAG), session="", agent="", job="")
    return attrs.evolve(request, id=f"{request.id}-{TAG}", priority=Priority.BACKGROUND, terms=terms)
