"""Figures of a connection pool, counted where aiohttp tells of its connections."""

import socket
import weakref
from collections import deque
from collections.abc import Mapping, Sequence

import aiohttp

REMEMBERED_TIMES = 1024
"""Exchanges whose times percentiles are taken of."""


class PoolStats:
    """Counts connections and exchanges."""

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self.requests = 0
        self.failures = 0
        self.connection_errors = 0
        self.active = 0
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._seconds: deque[float] = deque(maxlen=REMEMBERED_TIMES)

    def open_socket(self, address: "aiohttp.AddrInfoType") -> socket.socket:
        """Open the socket of a new connection, and remember it as long as it lives."""
        family, kind, protocol, *_ = address
        opened = socket.socket(family=family, type=kind, proto=protocol)
        opened.setblocking(False)
        self._sockets.add(opened)
        return opened

    def tracing(self) -> aiohttp.TraceConfig:
        """Count how often a connection was at hand."""
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(self._on_hit)
        trace.on_connection_create_end.append(self._on_miss)
        return trace

    def note(self, seconds: float, *, failed: bool) -> None:
        """Count an exchange that ended."""
        self.requests += 1
        self.failures += failed
        self._seconds.append(seconds)

    def figures(self) -> Mapping[str, object]:
        """Give all figures under their established names; times in seconds, shares from 0 to 1."""
        opened = sum(each.fileno() >= 0 for each in tuple(self._sockets))
        times = sorted(self._seconds)
        asked = self.hits + self.misses
        return {
            "total_connections": opened,
            "active_connections": min(self.active, opened),
            "idle_connections": max(opened - self.active, 0),
            "error_connections": self.connection_errors,
            "total_requests": self.requests,
            "failed_requests": self.failures,
            "success_rate": 1 - self.failures / self.requests if self.requests else 1.0,
            "average_response_time": sum(times) / len(times) if times else 0.0,
            "response_time_p50": _percentile(times, 0.50),
            "response_time_p95": _percentile(times, 0.95),
            "response_time_p99": _percentile(times, 0.99),
            "pool_hits": self.hits,
            "pool_misses": self.misses,
            "hit_rate": self.hits / asked if asked else 0.0,
        }

    async def _on_hit(self, *_: object) -> None:
        self.hits += 1

    async def _on_miss(self, *_: object) -> None:
        self.misses += 1


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Give the least value that so large a share is not above; 0 of nothing."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0
