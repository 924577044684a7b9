"""What a status of another server means here."""

import http
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import attrs

from homeport.domain.errors import (
    BackendError,
    BackendRefusedError,
    ContextOverflowError,
    HomeportError,
    InvalidRequestError,
    ModelNotFoundError,
)
from homeport.domain.overload import DrainingError, OverloadedError

MOST_RETRY_AFTER_SECONDS = 120
"""A longer ``Retry-After`` counts as this one."""

_DEFAULT_RETRY_AFTER_SECONDS = 1
_OVERLOADED = (429, 503, 529)
_LOCKED = (401, 402, 403, 407)
_PASSING = (408, 409, 425)
_SPENT = re.compile(r"insufficient_quota|billing|credit", re.IGNORECASE)
_STOPPING = re.compile(r'"code":\s*"draining"')
"""How a homeport says that it takes no more work because it ends."""
_OVERFLOW = re.compile(
    r"context[ _](length|window|size)|maximum context|too many tokens|prompt is too long|exceeds the context",
    re.IGNORECASE,
)


class NoSuchPathError(BackendError):
    """The other server has no such route: it is another kind of server, or an older one."""

    is_retried = False
    trips_breaker = False


class UnreachableError(BackendError):
    """Nobody takes connections there."""


@attrs.frozen(kw_only=True)
class Refused:
    """An answer that is no success.

    Attributes:
        backend: Name of the backend, for messages.
        model: As it was asked for; empty where the request named none.
        status: Of HTTP.
        headers: Of the answer.
        text: Beginning of the body; for the log and for telling cases apart, never for clients.
    """

    backend: str
    model: str
    status: int
    headers: Mapping[str, str]
    text: str

    def error(self) -> HomeportError:  # noqa: PLR0911 - one line per class of statuses
        """Give the typed error."""
        told = f"backend {self.backend!r} answered {self.status}: {self.text!r:.300}"
        if self.status in _LOCKED or (self.status in _OVERLOADED and _SPENT.search(self.text)):
            return BackendRefusedError(told, hint="Check its key, and what the key may use")
        if self.status in _OVERLOADED:
            kind = DrainingError if _STOPPING.search(self.text) else OverloadedError
            return kind(told, retry_after_seconds=retry_after_seconds(self.headers))
        if self.status == http.HTTPStatus.NOT_FOUND:
            return self._missing(told)
        if self.status in _PASSING or self.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            return BackendError(told)
        if self.status < http.HTTPStatus.BAD_REQUEST:
            return BackendRefusedError(told, hint="It points elsewhere: set its url to where it really is")
        if _OVERFLOW.search(self.text):
            return ContextOverflowError("the prompt is longer than the context length of the model")
        return InvalidRequestError(f"the model's server refuses this request with status {self.status}")

    def _missing(self, told: str) -> HomeportError:
        """Tell an unknown model from an unknown route, which no server marks alike."""
        if self.model and "model" in self.text.lower():
            return ModelNotFoundError(self.model)
        return NoSuchPathError(told, hint="Check its url: it must be the root of the API")


def retry_after_seconds(headers: Mapping[str, str], now: datetime | None = None) -> int:
    """Read ``Retry-After``, seconds or a date (RFC 9110, 10.2.3), in 1 to 120 seconds.

    Args:
        headers: Of the answer.
        now: Wall time; None takes the clock's.
    """
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        seconds = _until(text, now or datetime.now(UTC))
    if math.isnan(seconds):
        return _DEFAULT_RETRY_AFTER_SECONDS
    return math.ceil(min(max(seconds, _DEFAULT_RETRY_AFTER_SECONDS), MOST_RETRY_AFTER_SECONDS))


def _until(text: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()
