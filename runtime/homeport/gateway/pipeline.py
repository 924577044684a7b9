"""The way of a request: admission, routing, attempts inside their guards, validation, record."""

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, cast

import attrs

from homeport.domain.embedding import EmbeddingRequest, EmbeddingResult
from homeport.domain.errors import BackendError
from homeport.domain.generation import GenerationRequest
from homeport.domain.overload import OverloadedError
from homeport.gateway.admission.admission import Admission
from homeport.gateway.admission.visits import Visit
from homeport.gateway.attempts.attempts import AnswerEvent, Attempts
from homeport.gateway.attempts.breakers import Breakers
from homeport.gateway.attempts.retry import RetryBudget
from homeport.gateway.attempts.trial import Machinery, Trial
from homeport.gateway.deadline import Deadline
from homeport.gateway.policy import GatewayPolicy
from homeport.gateway.record import recorded
from homeport.gateway.reply import EmbeddingReply, Progress, Reply
from homeport.gateway.routing.planner import RoutePlanner
from homeport.gateway.routing.shadow import Shadow
from homeport.models.background import BackgroundTasks
from homeport.models.local import LocalBackend
from homeport.plugin.protocols import Attempt, Candidate, Request

if TYPE_CHECKING:
    from homeport.domain.generation import ReplyEvent

_SEED_BITS = 31
_STRAIN_RETRY_SECONDS = 10
"""As long as the pressure on memory must be gone before it counts as gone."""


class Gateway:
    """Serves requests through backends.

    Args:
        local: The backends that hold models in memory, by name.
        machinery: What all attempts share.
        policy: Rules of the settings.
        retry_budget: Bounds further attempts.
        tasks: Run what goes on beside requests.
        is_strained: Tells whether memory is too short for new work.
        chance: Draws seeds and delays.
    """

    def __init__(
        self,
        *,
        local: Mapping[str, LocalBackend],
        machinery: Machinery,
        policy: GatewayPolicy,
        retry_budget: RetryBudget,
        tasks: BackgroundTasks,
        is_strained: Callable[[], bool],
        chance: random.Random,
    ) -> None:
        self._local = local
        self._machinery = machinery
        self._policy = policy
        self._retry_budget = retry_budget
        self._tasks = tasks
        self._is_strained = is_strained
        self._shadow = Shadow(self._serve_shadow)
        self._chance = chance

    @property
    def admission(self) -> Admission:
        """The front door and the queues behind it."""
        return self._machinery.admission

    @property
    def planner(self) -> RoutePlanner:
        """What decides who serves a request, as the settings in force say."""
        return self._policy.planner

    @property
    def shadow(self) -> Shadow:
        """What runs copies of requests for models that are compared."""
        return self._shadow

    @property
    def breakers(self) -> Breakers:
        """What keeps from backends that fail."""
        return self._machinery.breakers

    def adopt(self, policy: GatewayPolicy) -> None:
        """Serve by other rules from now on; requests that run keep those they began with."""
        self._policy = policy
        self.admission.reconfigure(policy.settings)
        self.breakers.reconfigure(policy.settings.breaker)
        self._retry_budget.reconfigure(policy.settings.retry)

    @asynccontextmanager
    async def generate(self, request: GenerationRequest) -> AsyncIterator[Reply]:
        """Stream an answer; leaving the context cancels what still runs.

        Raises:
            HomeportError: From the events: whatever could not be mended.
        """
        progress = Progress()
        async with aclosing(self._events(request, progress)) as events:
            yield Reply(progress, cast("AsyncGenerator[ReplyEvent]", events))

    async def embed(self, request: EmbeddingRequest) -> EmbeddingReply:
        """Embed texts.

        Raises:
            HomeportError: Whatever could not be mended.
        """
        progress = Progress()
        async with aclosing(self._events(request, progress)) as events:
            async for event in events:
                if isinstance(event, EmbeddingResult) and progress.route is not None:
                    return EmbeddingReply(event, progress.route)
        raise BackendError("a backend gave no embedding")

    async def load(self, model: str, keep_alive_seconds: float | None) -> None:
        """Bring a model into memory; one that a remote backend serves is there already."""
        offers = await self._local_offers(model)
        if offers:
            backend, name = offers[0]
            await backend.load(name, keep_alive_seconds)

    async def unload(self, model: str) -> None:
        """Let a model go from memory when its running requests are done."""
        for backend, name in await self._local_offers(model):
            await backend.unload(name)

    async def _events(self, request: Request, progress: Progress) -> AsyncGenerator[AnswerEvent]:
        policy = self._policy
        request = self._seeded(request)
        deadline = Deadline.after(_allowed_seconds(request, policy))
        with recorded(request, progress, self._machinery.bus), self._entered(request) as visit:
            decision = await policy.planner.decide(request)
            self._retry_budget.note_request()
            if decision.shadow is not None and isinstance(request, GenerationRequest):
                copy = self._shadow.run(request, decision.shadow)
                self._tasks.start(copy, name=f"shadow of {request.id}")
            attempts = Attempts(
                request,
                decision,
                policy=policy,
                deadline=deadline,
                machinery=self._machinery,
                retry_budget=self._retry_budget,
                chance=self._chance,
                progress=progress,
            )
            visit.partial = lambda: attempts.partial
            async with aclosing(attempts.events()) as events:
                async for event in events:
                    yield event

    async def _serve_shadow(self, request: GenerationRequest, candidate: Candidate) -> None:
        """Run one attempt to its end and drop the answer."""
        policy = self._policy
        trial = Trial(
            Attempt(request=request, candidate=candidate),
            group=(),
            policy=policy,
            deadline=Deadline.after(_allowed_seconds(request, policy)),
            machinery=self._machinery,
            is_shadow=True,
        )
        async with aclosing(trial.events()) as events:
            async for _ in events:
                pass

    def _entered(self, request: Request) -> AbstractContextManager[Visit]:
        """Come into the house.

        Raises:
            DrainingError: It is closing.
            OverloadedError: It is short of memory.
            RateLimitedError: The owner asks for more than it may.
        """
        if self._is_strained():
            message = "other programs leave too little memory for new work"
            raise OverloadedError(message, retry_after_seconds=_STRAIN_RETRY_SECONDS)
        return self.admission.enter(request)

    def _seeded(self, request: Request) -> Request:
        """Fix every random choice of the route, so that it can be made again."""
        if request.terms.seed is not None:
            return request
        terms = attrs.evolve(request.terms, seed=self._chance.getrandbits(_SEED_BITS))
        return attrs.evolve(request, terms=terms)

    async def _local_offers(self, model: str) -> list[tuple[LocalBackend, str]]:
        candidates = await self.planner.candidates(model)
        return [
            (self._local[candidate.backend], candidate.model.name)
            for candidate in candidates
            if candidate.backend in self._local
        ]


def _allowed_seconds(request: Request, policy: GatewayPolicy) -> float:
    most = policy.settings.timeouts.total_seconds
    wanted = request.terms.deadline_seconds
    return most if wanted is None else min(wanted, most)
