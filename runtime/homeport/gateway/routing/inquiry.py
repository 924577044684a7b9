"""One request on its way through the planner."""

import random
from collections.abc import Sequence

import attrs

from homeport.gateway.routing.destination import Destination
from homeport.gateway.routing.eligibility import Needs
from homeport.plugin.protocols import Candidate, Request


@attrs.frozen(kw_only=True)
class Inquiry:
    """What is known of a request before anybody is chosen.

    Attributes:
        request: With its seed set.
        seed: Fixes every random choice.
        needs: Of the request.
        offers: All models with their backends.
        destination: What the name stands for.
    """

    request: Request
    seed: int
    needs: Needs
    offers: Sequence[Candidate]
    destination: Destination

    def chance(self, purpose: str) -> random.Random:
        """Give the random numbers of one purpose, so that one choice does not shift the next."""
        return random.Random(f"{self.seed}\0{purpose}")  # noqa: S311 - shares of traffic are no secret
