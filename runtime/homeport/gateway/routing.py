"""Which backend serves a request: candidates in the order that the routers give them."""

from collections.abc import Sequence

import attrs

from homeport.domain.errors import RefusedError
from homeport.plugin.protocols import Candidate, Request, Router


@attrs.frozen
class Route:
    """Candidates, best first, and what put them in this order."""

    candidates: tuple[Candidate, ...]
    reason: str


class Routing:
    """Applies the configured routers one after another.

    Args:
        routers: Name and object of each, in order.
    """

    def __init__(self, routers: Sequence[tuple[str, Router]]) -> None:
        self._routers = tuple(routers)

    def rank(self, request: Request, candidates: Sequence[Candidate]) -> Route:
        """Order the candidates; each router sees what the one before it left.

        Raises:
            RefusedError: A router left none.
        """
        ranked = tuple(candidates)
        reason = "only" if len(ranked) == 1 else "order"
        for name, router in self._routers:
            before = ranked
            ranked = tuple(router.rank(request, ranked))
            if not ranked:
                refused = ", ".join(candidate.backend for candidate in before)
                message = f"router {name!r} refuses every backend of model {request.model!r}: {refused}"
                raise RefusedError(message)
            if ranked != before:
                reason = name
        return Route(ranked, reason)
