"""What a candidate must have before anybody asks how good it is."""

from collections.abc import Callable, Collection, Sequence
from enum import Enum, auto
from typing import Self

import attrs
from loguru import logger

from homeport.domain.embedding import EmbeddingRequest
from homeport.domain.errors import Refusal
from homeport.domain.generation import ChatPrompt, FillPrompt, GenerationRequest
from homeport.domain.models import Capability
from homeport.domain.tools import ToolOffer
from homeport.gateway.routing.prompt_size import likely_tokens
from homeport.gateway.routing.standings import Standings
from homeport.gateway.target import TargetKey
from homeport.plugin.protocols import Candidate, Guard, Request

_SOMEBODY_ELSE = TargetKey("", "")
"""Stands beside a target that is not the last of its group, so that its breaker counts."""
_ANSWER_PART = 4
"""A prompt must leave a quarter of the window to an answer that is bounded by more than that."""


class Need(Enum):
    """What a request needs of a candidate."""

    PRESENCE = auto()
    """That its server answers."""
    CAPABILITY = auto()
    LOCALITY = auto()
    CONTEXT = auto()
    MEMORY = auto()
    BREAKER = auto()
    DEADLINE = auto()
    BUDGET = auto()
    """That no guard objects."""


PASSING = frozenset({Need.PRESENCE, Need.MEMORY, Need.BREAKER, Need.DEADLINE})
"""Needs that a candidate may meet in a while."""


@attrs.frozen
class Residence:
    """Where the weights of a candidate are.

    Attributes:
        is_resident: Whether they are in memory, or somewhere that we need not know.
        objection: Why they could not be loaded now, with bytes needed and free; empty where they could.
    """

    is_resident: bool = True
    objection: str = ""


@attrs.frozen
class Objection:
    """A need that is not met, and what is missing, in a few words with figures."""

    need: Need
    reason: str

    @property
    def passes(self) -> bool:
        """Whether it can be otherwise in a while."""
        return self.need in PASSING

    def of(self, candidate: Candidate) -> Refusal:
        """Say it of a candidate."""
        return Refusal(candidate.backend, candidate.model.name, self.reason, passes=self.passes)


@attrs.frozen(kw_only=True)
class Needs:
    """What a request needs, worked out once for all candidates.

    Attributes:
        request: The request.
        wanted: What a model must offer.
        besides: What it must offer besides that.
        prompt_tokens: Likely length of the prompt; 0 where it does not matter.
        answer_tokens: Bound of the answer; 0 where it has none.
    """

    request: Request
    wanted: Capability
    besides: frozenset[Capability] = frozenset()
    prompt_tokens: int = 0
    answer_tokens: int = 0

    @classmethod
    def of(cls, request: Request) -> Self:
        """Work them out."""
        if isinstance(request, EmbeddingRequest):
            return cls(request=request, wanted=Capability.EMBEDDING)
        return cls(
            request=request,
            wanted=Capability.COMPLETION,
            besides=_besides(request),
            prompt_tokens=likely_tokens(request),
            answer_tokens=request.sampling.max_tokens or 0,
        )

    @property
    def task(self) -> str:
        """Type of the task, under which outcomes are remembered; empty where it is unknown."""
        return self.request.terms.task

    @property
    def wanted_context(self) -> int | None:
        """Window that the request names, in tokens."""
        return None if isinstance(self.request, EmbeddingRequest) else self.request.context_length


@attrs.frozen(kw_only=True)
class Eligibility:
    """Decides who can serve a request at all.

    Attributes:
        guards: Asked for objections, in order.
        standings: Know how long a first token takes.
        refusal: Says why a target must not be called now, given all that could be; empty where it may.
        residency: Says whether a candidate is in memory or would fit.
        context_length: Window that models are loaded with here where a request names none, in tokens.
    """

    guards: Sequence[Guard]
    standings: Standings
    refusal: Callable[[TargetKey, Collection[TargetKey]], str]
    residency: Callable[[Candidate], Residence]
    context_length: int

    def objection(self, needs: Needs, candidate: Candidate) -> Objection | None:
        """Find the first need that a candidate does not meet, its breaker not looked at."""
        return (
            self._of_capability(needs, candidate)
            or self._of_locality(needs, candidate)
            or self.context_objection(needs, candidate)
            or self.present_objection(needs, candidate)
        )

    def present_objection(self, needs: Needs, candidate: Candidate) -> Objection | None:
        """Find out whether a candidate that was eligible no longer is, its breaker not looked at."""
        return (
            _of_presence(candidate)
            or self._of_memory(candidate)
            or self._of_deadline(needs, candidate)
            or self._of_guards(needs, candidate)
        )

    def breaker_objection(self, candidate: Candidate, group: Collection[TargetKey]) -> Objection | None:
        """Find out whether a candidate must not be called now.

        Args:
            candidate: Who is looked at.
            group: All that could serve the request otherwise.
        """
        reason = self.refusal(key_of(candidate), group)
        return Objection(Need.BREAKER, reason) if reason else None

    def failing_objection(self, candidate: Candidate) -> Objection | None:
        """Find out whether a candidate must not be called now, given that somebody else could serve."""
        return self.breaker_objection(candidate, (key_of(candidate), _SOMEBODY_ELSE))

    def firm_objection(self, needs: Needs, candidate: Candidate) -> Objection | None:
        """Find what keeps the only candidate of a name from being tried.

        Everything else is told better by the attempt itself: by the backend's error, or the guard's.
        """
        group = (key_of(candidate),)
        return (
            self._of_locality(needs, candidate)
            or _of_presence(candidate)
            or self.breaker_objection(candidate, group)
        )

    def context_objection(self, needs: Needs, candidate: Candidate) -> Objection | None:
        """Find out whether a prompt, and what is asked for behind it, is too long for a candidate."""
        window = self.window(needs, candidate)
        answer = min(needs.answer_tokens, window // _ANSWER_PART)
        if not window or needs.prompt_tokens + answer <= window:
            return None
        figures = f"{window} tokens do not hold a prompt of about {needs.prompt_tokens}"
        return Objection(Need.CONTEXT, f"{figures} and an answer of {answer}" if answer else figures)

    def window(self, needs: Needs, candidate: Candidate) -> int:
        """Tell how many tokens prompt and answer may have together; 0 where that is unknown."""
        longest = candidate.model.context_length
        if candidate.model.is_remote:
            return longest
        wanted = needs.wanted_context or self.context_length
        return min(longest, wanted) if longest else wanted

    def _of_capability(self, needs: Needs, candidate: Candidate) -> Objection | None:
        missing = ({needs.wanted} | needs.besides) - candidate.model.capabilities
        if not missing:
            return None
        return Objection(Need.CAPABILITY, f"does not offer {', '.join(sorted(missing))}")

    def _of_locality(self, needs: Needs, candidate: Candidate) -> Objection | None:
        if needs.request.terms.local_only and candidate.model.is_remote:
            return Objection(Need.LOCALITY, "is on another machine, which the request forbids")
        return None

    def _of_memory(self, candidate: Candidate) -> Objection | None:
        residence = self.residency(candidate)
        if residence.is_resident or not residence.objection:
            return None
        return Objection(Need.MEMORY, residence.objection)

    def _of_deadline(self, needs: Needs, candidate: Candidate) -> Objection | None:
        allowed = needs.request.terms.deadline_seconds
        if allowed is None:
            return None
        track = self.standings.track(key_of(candidate), needs.task)
        seconds = track.latency_seconds
        if seconds is None or not track.is_fresh or seconds < allowed:
            return None
        return Objection(
            Need.DEADLINE, f"took {seconds:.1f} s to a first token lately, {allowed:g} s are allowed in all"
        )

    def _of_guards(self, needs: Needs, candidate: Candidate) -> Objection | None:
        for guard in self.guards:
            reason = _asked(guard, needs.request, candidate)
            if reason:
                return Objection(Need.BUDGET, reason)
        return None


def _besides(request: GenerationRequest) -> frozenset[Capability]:
    match request.prompt:
        case ChatPrompt(tools=ToolOffer()):
            return frozenset({Capability.TOOLS})
        case FillPrompt():
            return frozenset({Capability.INSERT})
        case _:
            return frozenset()


def _of_presence(candidate: Candidate) -> Objection | None:
    return Objection(Need.PRESENCE, "its server does not answer") if candidate.model.is_away else None


def key_of(candidate: Candidate) -> TargetKey:
    """Name the target that a candidate would call."""
    return TargetKey(candidate.backend, candidate.model.name)


def _asked(guard: Guard, request: Request, candidate: Candidate) -> str:
    """Ask a guard; one that fails objects, for it would forbid the attempt too."""
    try:
        return guard.objection(request, candidate)
    except Exception as error:  # noqa: BLE001 - a guard is a plugin and may raise anything
        logger.warning("guard {} failed to judge {}: {!r}", type(guard).__name__, key_of(candidate), error)
        return "a guard could not judge it"
