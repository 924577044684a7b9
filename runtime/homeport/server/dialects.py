"""The shapes of errors: one per dialect, chosen by the path of the request."""

import http
from typing import Protocol

import msgspec
from aiohttp import web
from msgspec import UNSET

from homeport.domain.errors import (
    BudgetError,
    ContextOverflowError,
    CoolingError,
    DeadlineError,
    DrainingError,
    ModelNotFoundError,
    NoRoomError,
    OverloadedError,
    RateLimitedError,
    RequestTooLargeError,
    TooManyModelsError,
    UnauthorizedError,
)
from homeport.domain.generation import Usage
from homeport.server.failure import Failure
from homeport.server.schemas import ollama, openai

_OPENAI_ROOT = "/v1"

_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    501: "not_supported_error",
    503: "unavailable_error",
}
_OPENAI_CODES = {
    BudgetError.code: "insufficient_quota",
    ContextOverflowError.code: "context_length_exceeded",
    CoolingError.code: "loading",
    DeadlineError.code: "timeout",
    DrainingError.code: "draining",
    ModelNotFoundError.code: "model_not_found",
    NoRoomError.code: "server_busy",
    OverloadedError.code: "server_busy",
    RateLimitedError.code: "rate_limit_exceeded",
    TooManyModelsError.code: "server_busy",
    RequestTooLargeError.code: "request_too_large",
    UnauthorizedError.code: "invalid_api_key",
}


class Dialect(Protocol):
    """How one API tells a failure."""

    def error(self, failure: Failure) -> msgspec.Struct:
        """Build the object that tells a failure, also within a stream."""
        ...

    def response(self, failure: Failure) -> web.Response:
        """Build the response that tells a failure."""
        ...


class OllamaDialect:
    """``{"error": text}``, with ``partial`` and counts after a part of an answer.

    Unknown paths and verbs are plain text.
    """

    def error(self, failure: Failure) -> msgspec.Struct:
        """Build ``{"error": text}``."""
        answer = ollama.ErrorAnswer(failure.text, failure.suggestions, failure.hint)
        if failure.partial is not None:
            answer.partial = True
            answer.prompt_eval_count = failure.partial.prompt_tokens
            answer.eval_count = failure.partial.completion_tokens
        return answer

    def response(self, failure: Failure) -> web.Response:
        """Answer in JSON, or in plain text where no route matched."""
        if failure.is_bare:
            return web.Response(status=failure.status, text=failure.text, headers=failure.headers)
        return json_response(self.error(failure), status=failure.status, headers=failure.headers)


class OpenAIDialect:
    """``{"error": {message, type, param, code}}``, with ``partial`` and ``usage`` of a part of an answer."""

    def error(self, failure: Failure) -> msgspec.Struct:
        """Build the error object."""
        fallback = "api_error" if failure.is_ours else "invalid_request_error"
        detail = openai.ErrorDetail(
            message=failure.text,
            type=_OPENAI_TYPES.get(failure.status, fallback),
            param=failure.field,
            code=_OPENAI_CODES.get(failure.code),
            suggestions=failure.suggestions or UNSET,
            hint=failure.hint or UNSET,
        )
        if failure.partial is not None:
            detail.partial = True
            detail.usage = _usage(failure.partial)
        return openai.ErrorAnswer(error=detail)

    def response(self, failure: Failure) -> web.Response:
        """Answer in JSON."""
        return json_response(self.error(failure), status=failure.status, headers=failure.headers)


OLLAMA: Dialect = OllamaDialect()
OPENAI: Dialect = OpenAIDialect()


def dialect_of(path: str) -> Dialect:
    """Choose by path: OpenAI's under ``/v1``, else Ollama's."""
    return OPENAI if path == _OPENAI_ROOT or path.startswith(f"{_OPENAI_ROOT}/") else OLLAMA


def _usage(usage: Usage) -> openai.Usage:
    return openai.Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        prompt_tokens_details=openai.CachedTokens(usage.cached_tokens),
        completion_tokens_details=openai.ReasoningTokens(0),
    )


def json_response(
    value: msgspec.Struct, *, status: int = http.HTTPStatus.OK, headers: dict[str, str] | None = None
) -> web.Response:
    """Encode a whole answer."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        headers=headers,
        content_type="application/json",
        charset="utf-8",
    )
