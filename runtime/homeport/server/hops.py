"""Refusing a request that went through too many homeports: they may be one another's upstream."""

import re
from collections.abc import Mapping

from homeport.domain.errors import InvalidRequestError
from homeport.server.quoting import shown
from homeport.upstream.hops import HOPS_HEADER, MOST_HOPS

_COUNT = re.compile(r"[0-9]{1,3}")


def read_hops(headers: Mapping[str, str]) -> int:
    """Read how many homeports passed a request on; 0 where a client sent it.

    Raises:
        InvalidRequestError: They are too many, or it is no count.
    """
    text = headers.get(HOPS_HEADER, "0")
    if not _COUNT.fullmatch(text):
        raise InvalidRequestError(
            f"{HOPS_HEADER} must be a small count, got {shown(text)}", field=HOPS_HEADER
        )
    if int(text) > MOST_HOPS:
        message = f"this request went through {int(text)} homeports, at most {MOST_HOPS} may pass it on"
        hint = "Two of them may be each other's upstream: see [plugins.remote] and [plugins.ollama-legacy]"
        raise InvalidRequestError(message, field=HOPS_HEADER, hint=hint)
    return int(text)
