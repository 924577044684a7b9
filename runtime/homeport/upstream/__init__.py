"""For backends that ask other servers over HTTP: connections, their figures, typed errors, model lists.

Public, and apart from ``homeport`` because it needs aiohttp: import it in the module of a backend, so that
``plugin.py`` stays light.
"""

from homeport.upstream.address import is_loopback, upstream_url
from homeport.upstream.hops import HOPS_FACT, HOPS_HEADER, MOST_HOPS, hops_headers
from homeport.upstream.lines import Lines
from homeport.upstream.listing import ModelListing
from homeport.upstream.model_facts import EPOCH, answer_tokens, estimated_tokens, read_moment, tagged
from homeport.upstream.pool import ConnectionPool, PoolSettings
from homeport.upstream.refused import NoSuchPathError, UnreachableError
from homeport.upstream.reply import MOST_LINE_BYTES, Reply
from homeport.upstream.vectors import finished_vectors

__all__ = [
    "EPOCH",
    "HOPS_FACT",
    "HOPS_HEADER",
    "MOST_HOPS",
    "MOST_LINE_BYTES",
    "ConnectionPool",
    "Lines",
    "ModelListing",
    "NoSuchPathError",
    "PoolSettings",
    "Reply",
    "UnreachableError",
    "answer_tokens",
    "estimated_tokens",
    "finished_vectors",
    "hops_headers",
    "is_loopback",
    "read_moment",
    "tagged",
    "upstream_url",
]
