"""The course of one request: which backend is tried next, after which error, and when."""

import random
from collections.abc import Callable

import attrs

from homeport.config.gateway_settings import RetrySettings
from homeport.domain.errors import ContextOverflowError, HomeportError, RefusedError, WorkerDiedError
from homeport.gateway.attempts.retry import RetryBudget, delay_seconds
from homeport.gateway.deadline import Deadline
from homeport.gateway.routing.alternatives import MOST_FALLBACKS
from homeport.gateway.routing.decision import Decision
from homeport.plugin.protocols import Candidate


@attrs.frozen
class Move:
    """What to do next: whom to ask, and after how long."""

    candidate: Candidate
    delay_seconds: float = 0.0


class Course:
    """Chooses the next attempt of one request.

    Args:
        decision: Who may serve it.
        settings: How often the same backend is asked again.
        budget: Bounds what retries and fallbacks add to the traffic of the host.
        deadline: Of the request.
        suits: Tells whether a candidate is of use to the client, which may have a part of the answer.
        objection: Says why a candidate cannot serve the request now; empty where it can.
        chance: Draws delays.
    """

    def __init__(
        self,
        decision: Decision,
        *,
        settings: RetrySettings,
        budget: RetryBudget,
        deadline: Deadline,
        suits: Callable[[Candidate], bool],
        objection: Callable[[Candidate], str],
        chance: random.Random,
    ) -> None:
        self._decision = decision
        self._settings = settings
        self._budget = budget
        self._deadline = deadline
        self._suits = suits
        self._objection = objection
        self._chance = chance
        self._tries = 1
        self._tried = [decision.ranked[0]]

    @property
    def first(self) -> Candidate:
        """Whom to ask first."""
        return self._tried[0]

    def after(self, error: Exception, *, reached_backend: bool) -> Move | None:
        """Find the next attempt; None where there is none.

        A backend that has an equal is left for it at once. One that stands alone is asked again after pauses;
        where there is a fallback, once. What retries may add to the traffic is bounded over all requests;
        going elsewhere counts, and is never refused for its sake, for it spares the backend that fails.

        Args:
            error: What the last attempt failed with.
            reached_backend: Whether that attempt came as far as its backend; what our own queue or a guard
                turned away costs no backend anything and is not asked again.
        """
        if self._deadline.left() <= 0:
            return None
        other = self._other(error, reached_backend=reached_backend)
        if other is not None and other in self._decision.ranked:
            return self._to(other)
        is_asked_again = other is None or (self._tries == 1 and self._budget.left > 1)
        pause = self._pause(error) if reached_backend and is_asked_again else None
        if pause is not None:
            return self._again(error, pause)
        return None if other is None else self._to(other)

    def _again(self, error: Exception, pause: float) -> Move | None:
        """Ask the same backend again; a fresh worker is started once for all whose worker died."""
        if not isinstance(error, WorkerDiedError) and not self._budget.take():
            return None
        self._tries += 1
        return Move(self._tried[-1], pause)

    def _to(self, other: Candidate) -> Move:
        self._budget.note_fallback()
        self._tries = 1
        self._tried.append(other)
        return Move(other)

    def _pause(self, error: Exception) -> float | None:
        """Give how long to wait before the same backend is asked again; None where that is no use."""
        if not self._suits(self._tried[-1]):
            return None
        pause = delay_seconds(self._settings, self._tries, error, self._chance)
        return None if pause is None or pause >= self._deadline.left() else pause

    def _other(self, error: Exception, *, reached_backend: bool) -> Candidate | None:
        if isinstance(error, HomeportError) and not error.falls_back:
            return None
        if len(self._tried) > MOST_FALLBACKS:
            return None
        chain = self._chain(error, reached_backend=reached_backend)
        untried = (each for each in chain if each not in self._tried and self._suits(each))
        return next((each for each in untried if not self._objection(each)), None)

    def _chain(self, error: Exception, *, reached_backend: bool) -> tuple[Candidate, ...]:
        """Give whom to ask after an error; a refusal behind the backend is a validator's, of its answer."""
        decision = self._decision
        if isinstance(error, ContextOverflowError):
            return decision.context_fallbacks
        if isinstance(error, RefusedError) and reached_backend:
            return (*decision.ranked, *decision.content_fallbacks, *decision.fallbacks)
        return (*decision.ranked, *decision.fallbacks)
