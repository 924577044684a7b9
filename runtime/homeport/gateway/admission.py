"""How many requests are in the house at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from homeport.domain.errors import OverloadedError

_RETRY_AFTER_SECONDS = 1


class Admission:
    """Counts requests and turns away those above the bound."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._active = 0

    @property
    def active(self) -> int:
        """Requests in the house now."""
        return self._active

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold a place while a request is served.

        Raises:
            OverloadedError: All places are taken.
        """
        if self._active >= self._most:
            message = f"{self._active} requests are being served, the most allowed"
            raise OverloadedError(
                message,
                retry_after_seconds=_RETRY_AFTER_SECONDS,
                hint="Raise [gateway] max_requests, or try again later",
            )
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1
