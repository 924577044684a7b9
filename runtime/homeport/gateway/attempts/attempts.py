"""The attempts of one request: another one where the last failed, and none where that would be no help."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing

from loguru import logger

from homeport.domain.embedding import EmbeddingResult
from homeport.domain.errors import HomeportError
from homeport.domain.generation import (
    Finished,
    FinishReason,
    GenerationRequest,
    PromptAccepted,
    ReplyEvent,
    Restarted,
    Resumed,
    Usage,
)
from homeport.domain.terms import StreamFailure
from homeport.gateway.attempts.course import Course, Move
from homeport.gateway.attempts.partial_answer import PartialAnswer
from homeport.gateway.attempts.retry import RetryBudget
from homeport.gateway.attempts.trial import Machinery, Trial
from homeport.gateway.deadline import Deadline
from homeport.gateway.policy import GatewayPolicy
from homeport.gateway.reply import Progress, RouteTrace
from homeport.gateway.routing.decision import Decision
from homeport.gateway.routing.eligibility import key_of
from homeport.plugin.protocols import Attempt, Candidate, Request

_MILLISECONDS = 1000
_FALLBACK = "fallback"

AnswerEvent = ReplyEvent | EmbeddingResult
"""What a request gets: the events of a generation, or the one result of an embedding."""


class Attempts:
    """Serves one request by one attempt after another.

    Args:
        request: What was asked.
        decision: Who may serve it.
        policy: In force when it came.
        deadline: When it must be over.
        machinery: What it shares with other requests.
        retry_budget: Bounds further attempts, over all requests.
        chance: Draws delays.
        progress: Told who serves it.
    """

    def __init__(
        self,
        request: Request,
        decision: Decision,
        *,
        policy: GatewayPolicy,
        deadline: Deadline,
        machinery: Machinery,
        retry_budget: RetryBudget,
        chance: random.Random,
        progress: Progress,
    ) -> None:
        self._request = request
        self._decision = decision
        self._policy = policy
        self._deadline = deadline
        self._machinery = machinery
        self._progress = progress
        self._answer = PartialAnswer()
        self._reported: Trial | None = None
        self._number = 0
        self._course = Course(
            decision,
            settings=policy.settings.retry,
            budget=retry_budget,
            deadline=deadline,
            suits=self._can_go_on,
            objection=lambda candidate: policy.planner.objection(request, candidate),
            chance=chance,
        )

    @property
    def partial(self) -> Usage | None:
        """What was used for what the client has; None where it has nothing."""
        return None if self._answer.is_empty else self._answer.usage

    async def events(self) -> AsyncGenerator[AnswerEvent]:
        """Give the answer; what cannot be mended is raised.

        Raises:
            HomeportError: The last failure; ``partial`` is set where a part of the answer was sent.
        """
        candidate = self._course.first
        while True:
            trial = self._trial(candidate)
            try:
                async with aclosing(self._one(trial)) as events:
                    async for event in events:
                        yield event
            except Exception as error:  # noqa: BLE001 - a backend is a plugin and may raise anything
                if self._is_full and not trial.is_over:
                    yield self._end()
                    return
                move = self._after(error, trial)
            else:
                return
            if move.delay_seconds:
                await asyncio.sleep(move.delay_seconds)
            mark = self._mark(move.candidate)
            if mark is not None:
                yield mark
            candidate = move.candidate

    @property
    def _is_full(self) -> bool:
        """Whether the client has all tokens that it wanted, and only the last event is missing."""
        request = self._request
        if not isinstance(request, GenerationRequest) or self._answer.is_empty:
            return False
        limit = request.sampling.max_tokens
        return limit is not None and self._answer.tokens >= limit

    def _end(self) -> Finished:
        """Make up the last event of an answer that lacks only that."""
        self._progress.is_over, self._progress.usage = True, self._answer.usage
        return Finished(FinishReason.LENGTH, self._answer.usage)

    def _trial(self, candidate: Candidate) -> Trial:
        self._number += 1
        request = self._request
        if isinstance(request, GenerationRequest):
            request = self._answer.rest_of(request)
        attempt = Attempt(request=request, candidate=candidate, number=self._number)
        return Trial(
            attempt,
            group=[key_of(each) for each in (*self._decision.ranked, *self._decision.fallbacks)],
            policy=self._policy,
            deadline=self._deadline,
            machinery=self._machinery,
        )

    async def _one(self, trial: Trial) -> AsyncGenerator[AnswerEvent]:
        """Run one attempt; its end counts what earlier ones sent."""
        tokens_before = self._answer.tokens
        candidate = trial.attempt.candidate
        try:
            async with aclosing(trial.events()) as events:
                async for event in events:
                    if isinstance(event, PromptAccepted) and self._answer.prompt_tokens is not None:
                        continue  # the client has had one from an earlier attempt
                    if isinstance(event, Finished):
                        event = self._answer.whole(event, tokens_before=tokens_before)  # noqa: PLW2901
                    self._answer.add(event, candidate)
                    self._report(trial, event)
                    yield event
        finally:
            self._progress.attempts += trial.attempt.was_sent
            self._progress.waited_seconds += trial.waited_seconds

    def _report(self, trial: Trial, event: AnswerEvent) -> None:
        """Tell how far the answer is before the client has the event."""
        progress = self._progress
        if self._reported is not trial:
            self._reported, progress.route = trial, self._route(trial)
        if progress.first_token_at is None and not isinstance(event, PromptAccepted):
            progress.first_token_at = asyncio.get_running_loop().time()
        if trial.is_over:
            progress.is_over = True
            progress.usage = event.usage if isinstance(event, Finished) else None
            self._policy.planner.served(self._request, trial.attempt.candidate)

    def _after(self, error: Exception, trial: Trial) -> Move:
        """Find what to do after a failed attempt.

        Raises:
            Exception: The failure itself, where nothing is left to do.
        """
        if trial.is_over:
            raise error
        move = self._course.after(error, reached_backend=trial.attempt.was_sent)
        if move is None:
            raise self._told(error)
        logger.info(
            "request {}: attempt {} on {} failed ({}); next is {} in {:.2f} s",
            self._request.id,
            self._number,
            trial.attempt.candidate.backend,
            error,
            move.candidate.backend,
            move.delay_seconds,
        )
        return move

    def _can_go_on(self, candidate: Candidate) -> bool:
        """Tell whether another attempt is of use to a client that has a part of the answer."""
        return self._answer.is_empty or self._continues(candidate) or self._may_restart()

    def _continues(self, candidate: Candidate) -> bool:
        request = self._request
        return isinstance(request, GenerationRequest) and self._answer.can_be_continued_by(candidate, request)

    def _may_restart(self) -> bool:
        return self._request.terms.on_stream_failure is StreamFailure.RESTART

    def _mark(self, candidate: Candidate) -> Resumed | Restarted | None:
        """Say in the stream that somebody else goes on, or begins again."""
        if self._answer.is_empty:
            return None
        if self._continues(candidate):
            return Resumed()
        self._answer.clear()
        return Restarted()

    def _told(self, error: Exception) -> Exception:
        """Give the last error with a note of what the client has already, to be told with it."""
        if self._answer.is_empty:
            return error
        if not isinstance(error, HomeportError):
            cause, error = error, HomeportError(f"{type(error).__name__}: {error}")
            error.__cause__ = cause
        error.partial = self.partial
        return error

    def _route(self, trial: Trial) -> RouteTrace:
        candidate = trial.attempt.candidate
        is_first = candidate == self._decision.ranked[0]
        return RouteTrace(
            backend=candidate.backend,
            model=candidate.model.name,
            reason=self._decision.reason if is_first else _FALLBACK,
            attempts=self._number,
            queue_ms=round((self._progress.waited_seconds + trial.waited_seconds) * _MILLISECONDS),
            seed=self._decision.seed,
        )
