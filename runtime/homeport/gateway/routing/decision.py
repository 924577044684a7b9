"""Who may serve a request, in which order, and why: the record of one routing decision."""

import attrs

from homeport.domain.errors import Refusal
from homeport.plugin.protocols import Candidate


@attrs.frozen(kw_only=True)
class RouteStep:
    """What one step of the routing made of the candidates.

    Attributes:
        name: Of the router; ``context``, ``fallback``, ``last-hope``, ``weights``, ``session`` and ``canary``
            are homeport's own.
        order: The candidates behind it, best first, with the notes it wrote.
        failure: What it failed with; the order is then that before it.
    """

    name: str
    order: tuple[Candidate, ...]
    failure: str = ""


@attrs.frozen(kw_only=True)
class Decision:
    """One decision; equal requests with equal seeds in an equal state give equal ones.

    Attributes:
        asked: The name as the client sent it.
        seed: Fixes every random choice; a request that had none was given this one.
        reason: ``only`` candidate, or the step or router that put the first one there, or ``order``.
        tier: Tier that the name stands for; empty where it is none.
        route: The configured route that the name stands for; empty where there is none.
        considered: Candidates as the routers were given them; ``Routing.rank`` makes ``ranked`` of them.
        ranked: Who may serve it, best first; empty only in an explanation.
        refusals: Who may not, and why.
        steps: How the order came about.
        fallbacks: Whom to ask when they fail, at most four; to be checked again before.
        context_fallbacks: Whom to ask when the prompt exceeds the window.
        content_fallbacks: Whom to ask when a validator rejects the answer.
        shadow: Who is asked too, without anybody waiting for it.
        canary: Whether the first one is tried out on a share of the requests.
    """

    asked: str
    seed: int
    reason: str = ""
    tier: str = ""
    route: str = ""
    considered: tuple[Candidate, ...] = ()
    ranked: tuple[Candidate, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    steps: tuple[RouteStep, ...] = ()
    fallbacks: tuple[Candidate, ...] = ()
    context_fallbacks: tuple[Candidate, ...] = ()
    content_fallbacks: tuple[Candidate, ...] = ()
    shadow: Candidate | None = None
    canary: bool = False
