"""How many homeports a request went through: a count that breaks circles."""

from collections.abc import Mapping

from homeport.domain.terms import Terms

HOPS_HEADER = "x-homeport-hops"
"""Other servers ignore it."""
HOPS_FACT = "homeport.hops"
"""Among the facts of a model: how many homeports stand between this one and the one that runs it."""
MOST_HOPS = 3


def hops_headers(terms: Terms) -> Mapping[str, str]:
    """Count the hop that a request makes now."""
    return {HOPS_HEADER: str(terms.hops + 1)}
