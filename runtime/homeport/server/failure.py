"""Errors as clients see them: a status and a text that names no path, host or cause."""

import http
import math
from datetime import UTC, datetime

import attrs
from aiohttp import hdrs, web

from homeport.domain.errors import (
    BackendError,
    BackendRefusedError,
    GenerationError,
    HomeportError,
    InvalidRequestError,
    ModelNotFoundError,
)
from homeport.domain.generation import Usage
from homeport.domain.overload import BudgetError, OverloadedError, RateLimitedError

NO_SUCH_PATH = "404 page not found"
NO_SUCH_METHOD = "405 method not allowed"
INTERNAL = "internal server error"

_PASSING = (OverloadedError, BackendError, GenerationError)
"""Failures of the server that another try may not meet."""
_LEAST_RETRY_SECONDS = 1
_MOST_RETRY_SECONDS = 120
_NO_RETRY = {"x-should-retry": "false"}


class ClientGoneError(Exception):
    """The client left while its response was being written."""


@attrs.frozen(kw_only=True)
class Failure:
    """What a client is told.

    Attributes:
        status: Of HTTP.
        text: The message.
        code: Stable name of the error.
        field: Request field at fault.
        suggestions: Known model names that resemble an unknown one.
        hint: How to mend it.
        headers: Further headers of the response.
        partial: What was used, where the client has a part of the answer already.
        is_bare: True for unknown paths and verbs, whose text stands alone outside of ``/v1``.
        request_id: Under which the log tells its cause.
    """

    status: int
    text: str
    code: str = HomeportError.code
    field: str | None = None
    suggestions: tuple[str, ...] = ()
    hint: str | None = None
    headers: dict[str, str] = attrs.field(factory=dict)
    partial: Usage | None = None
    is_bare: bool = False
    request_id: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether the server is at fault."""
        return self.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR


def failure_of(error: Exception, request_id: str = "") -> Failure:
    """Find the words for an error of a request; the unforeseen becomes an opaque 500."""
    return attrs.evolve(_told(error), request_id=request_id)


def _told(error: Exception) -> Failure:
    if isinstance(error, HomeportError):
        return Failure(
            status=error.status,
            text=error.public_message,
            code=error.code,
            field=_field(error),
            suggestions=error.suggestions if isinstance(error, ModelNotFoundError) else (),
            hint=error.public_hint,
            headers=_headers(error),
            partial=error.partial,
        )
    if isinstance(error, web.HTTPException):
        return _of_http(error)
    return Failure(status=500, text=INTERNAL, headers=_NO_RETRY)


def _field(error: HomeportError) -> str | None:
    if isinstance(error, ModelNotFoundError):
        return "model"
    return error.field if isinstance(error, InvalidRequestError) else None


def _headers(error: HomeportError) -> dict[str, str]:
    if isinstance(error, OverloadedError | RateLimitedError):
        return _retry_after(error.retry_after_seconds)
    if isinstance(error, BudgetError):
        return _retry_after(_seconds_until(error.resets_at)) | _NO_RETRY
    if error.status == http.HTTPStatus.UNAUTHORIZED:
        return {hdrs.WWW_AUTHENTICATE: "Bearer"}
    if error.status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return {}
    passes = isinstance(error, _PASSING) and not isinstance(error, BackendRefusedError)
    return {} if passes else _NO_RETRY


def _retry_after(seconds: float) -> dict[str, str]:
    bounded = min(max(seconds, _LEAST_RETRY_SECONDS), _MOST_RETRY_SECONDS)
    return {hdrs.RETRY_AFTER: str(math.ceil(bounded))}


def _seconds_until(moment: datetime | None) -> float:
    """Count up to a moment; one that never comes is far away."""
    return _MOST_RETRY_SECONDS if moment is None else (moment - datetime.now(UTC)).total_seconds()


def _of_http(error: web.HTTPException) -> Failure:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allow = {"Allow": error.headers["Allow"]}
        return Failure(
            status=405, text=NO_SUCH_METHOD, code="method_not_allowed", headers=allow, is_bare=True
        )
    if isinstance(error, web.HTTPNotFound):
        return Failure(status=404, text=NO_SUCH_PATH, code="not_found", is_bare=True)
    return Failure(status=error.status, text=error.reason.lower(), code="http")
