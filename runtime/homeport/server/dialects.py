"""The shapes of errors: one per dialect, chosen by the path of the request."""

import http
from typing import ClassVar, Protocol

import msgspec
from aiohttp import web
from msgspec import UNSET

from homeport.domain.errors import (
    ContextOverflowError,
    ModelNotFoundError,
    RequestTooLargeError,
    UnauthorizedError,
)
from homeport.domain.generation import Usage
from homeport.domain.overload import (
    BudgetError,
    CoolingError,
    DeadlineError,
    DrainingError,
    NoRoomError,
    OverloadedError,
    RateLimitedError,
    TooManyModelsError,
)
from homeport.server.failure import Failure
from homeport.server.request_ids import anthropic_id
from homeport.server.schemas import anthropic, ollama, openai

_OPENAI_ROOT = "/v1"
_ANTHROPIC_ROOT = "/v1/messages"

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}

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
    """How one API tells a failure.

    Attributes:
        answer: Struct of the whole answer.
    """

    answer: ClassVar[type[msgspec.Struct]]

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

    answer: ClassVar[type[msgspec.Struct]] = ollama.ErrorAnswer

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

    answer: ClassVar[type[msgspec.Struct]] = openai.ErrorAnswer

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


class AnthropicDialect:
    """``{"type": "error", "error": {type, message}, "request_id"}``.

    With ``partial`` and ``usage`` after a part of an answer.
    """

    answer: ClassVar[type[msgspec.Struct]] = anthropic.ErrorAnswer

    def error(self, failure: Failure) -> msgspec.Struct:
        """Build the error object."""
        detail = anthropic.ErrorDetail(
            type=_ANTHROPIC_TYPES.get(failure.status, "api_error"),
            message=failure.text,
            suggestions=failure.suggestions or UNSET,
            hint=failure.hint or UNSET,
        )
        if failure.partial is not None:
            detail.partial = True
            detail.usage = anthropic.Usage(
                input_tokens=failure.partial.prompt_tokens, output_tokens=failure.partial.completion_tokens
            )
        return anthropic.ErrorAnswer(error=detail, request_id=anthropic_id(failure.request_id))

    def response(self, failure: Failure) -> web.Response:
        """Answer in JSON."""
        return json_response(self.error(failure), status=failure.status, headers=failure.headers)


OLLAMA: Dialect = OllamaDialect()
OPENAI: Dialect = OpenAIDialect()
ANTHROPIC: Dialect = AnthropicDialect()


def dialect_of(path: str) -> Dialect:
    """Choose by path: Anthropic's under ``/v1/messages``, OpenAI's elsewhere under ``/v1``, else Ollama's."""
    if _is_under(_ANTHROPIC_ROOT, path):
        return ANTHROPIC
    return OPENAI if _is_under(_OPENAI_ROOT, path) else OLLAMA


def _is_under(root: str, path: str) -> bool:
    return path == root or path.startswith(f"{root}/")


def _usage(usage: Usage) -> openai.Usage:
    return openai.Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        prompt_tokens_details=openai.CachedTokens(usage.cached_tokens),
        completion_tokens_details=openai.ReasoningTokens(usage.thought_tokens),
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
