"""The front door: who may come in, and how many of them."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from homeport.config.gateway_settings import GatewaySettings
from homeport.domain.overload import RateLimitedError
from homeport.gateway.admission.rates import Rate
from homeport.gateway.admission.service_time import ServiceTime, whole_retry_seconds
from homeport.gateway.admission.visits import Visit, Visits, draining_error


class FrontDoor:
    """Lets requests in.

    Args:
        settings: Limits per key.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._most_per_owner = settings.max_running_per_key
        self._requests = Rate(settings.requests_per_minute)
        self._tokens = Rate(settings.tokens_per_minute)
        self._present: Counter[str] = Counter()
        self._visits = Visits()
        self._stays = ServiceTime()
        self._is_closed = False

    @contextmanager
    def enter(self, owner: str) -> Iterator[Visit]:
        """Be in the house.

        Args:
            owner: Who asks; empty where clients are not told apart, and then has no limits.

        Raises:
            DrainingError: The host is stopping; on entry, or where :meth:`cut` ended the visit.
            RateLimitedError: The owner asks for more than it may.
        """
        now = _now()
        self._check(owner, now)
        self._present[owner] += 1
        try:
            with self._visits.visit() as visit:
                yield visit
        finally:
            self._present[owner] -= 1
            if not self._present[owner]:
                del self._present[owner]
            self._stays.observe(_now() - now)

    def close(self) -> None:
        """Let nobody in any more."""
        self._is_closed = True

    def cut(self) -> None:
        """End all visits with a :class:`DrainingError`."""
        self._visits.cut()

    def spend_tokens(self, owner: str, tokens: int) -> None:
        """Count tokens that a request of an owner used."""
        if owner:
            self._tokens.take(owner, tokens, _now())

    def reconfigure(self, settings: GatewaySettings) -> None:
        """Adopt other limits."""
        now = _now()
        self._most_per_owner = settings.max_running_per_key
        self._requests.reconfigure(settings.requests_per_minute, now)
        self._tokens.reconfigure(settings.tokens_per_minute, now)

    def _check(self, owner: str, now: float) -> None:
        if self._is_closed:
            raise draining_error()
        if not owner:
            return
        most = self._most_per_owner
        if most and self._present[owner] >= most:
            message = f"{self._present[owner]} requests of this key are in the house, the most allowed"
            raise RateLimitedError(
                message,
                retry_after_seconds=whole_retry_seconds(self._stays.retry_seconds(0, most)),
                hint="Wait for one of them, or raise [gateway] max_running_per_key",
            )
        self._check_rate(self._tokens, owner, now, "tokens_per_minute", least=0.0)
        self._check_rate(self._requests, owner, now, "requests_per_minute", least=1.0)
        self._requests.take(owner, 1, now)

    def _check_rate(self, rate: Rate, owner: str, now: float, setting: str, *, least: float) -> None:
        seconds = rate.wait_seconds(owner, now, least=least)
        if seconds > 0:
            raise RateLimitedError(
                f"this key has used up its {setting} for another {seconds:.1f} s",
                retry_after_seconds=whole_retry_seconds(seconds),
                hint=f"Ask less often, or raise [gateway] {setting}",
            )


def _now() -> float:
    return asyncio.get_running_loop().time()
