"""Errors in both dialects: status, code, and when to try again."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from homeport import Usage
from homeport.domain import errors, overload
from homeport.server.dialects import OLLAMA, OPENAI
from homeport.server.failure import failure_of

CODES = [
    (overload.OverloadedError("x"), 503, "unavailable_error", "server_busy"),
    (overload.DrainingError("x"), 503, "unavailable_error", "draining"),
    (overload.CoolingError("x"), 503, "unavailable_error", "loading"),
    (overload.NoRoomError(2**31, 2**30), 503, "unavailable_error", "server_busy"),
    (overload.RateLimitedError("x"), 429, "rate_limit_error", "rate_limit_exceeded"),
    (overload.BudgetError("x"), 429, "rate_limit_error", "insufficient_quota"),
    (overload.DeadlineError("queue", 60), 504, "api_error", "timeout"),
    (errors.NoRouteError("m", []), 400, "invalid_request_error", None),
    (errors.BackendRefusedError("x"), 502, "api_error", None),
]


def openai_error(error):
    return msgspec.to_builtins(OPENAI.error(failure_of(error)))["error"]


def ollama_error(error):
    return msgspec.to_builtins(OLLAMA.error(failure_of(error)))


@pytest.mark.parametrize(("error", "status", "kind", "code"), CODES, ids=lambda each: type(each).__name__)
def test_refusals_have_the_type_and_code_that_clients_know(error, status, kind, code):
    """What an OpenAI client tells errors apart by."""
    told = openai_error(error)
    assert (failure_of(error).status, told["type"], told["code"]) == (status, kind, code)


@pytest.mark.parametrize("error", [each for each, status, *_ in CODES if status in {429, 503}])
@pytest.mark.parametrize("seconds", [-5, 0, 7, 10_000])
def test_every_refusal_that_passes_says_when_to_come_back(error, seconds):
    """A whole number from 1 to 120, on every 429 and 503."""
    error.retry_after_seconds = seconds
    told = failure_of(error).headers["Retry-After"]
    assert 1 <= int(told) <= 120
    assert seconds != 7 or isinstance(error, overload.BudgetError) or told == "7"


@pytest.mark.parametrize(
    ("ahead", "told"), [(timedelta(seconds=-1), 1), (timedelta(seconds=61.5), 62), (timedelta(days=9), 120)]
)
def test_budget_says_when_it_begins_anew_and_that_trying_is_no_use(ahead, told):
    """Clients that retry by themselves leave a spent budget alone."""
    headers = failure_of(overload.BudgetError("x", resets_at=datetime.now(UTC) + ahead)).headers
    assert int(headers["Retry-After"]) == told  # never too early
    assert headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("error", "may"),
    [
        (errors.BackendError("x"), True),
        (errors.BackendRefusedError("x"), False),
        (overload.DeadlineError("total", 600), False),
        (overload.OverloadedError("x"), True),
        (overload.RateLimitedError("x"), True),
        (errors.LoadError("x"), False),
    ],
    ids=lambda each: type(each).__name__,
)
def test_clients_are_told_where_trying_again_is_no_use(error, may):
    """``x-should-retry: false`` where it cannot help, nothing where it may."""
    assert failure_of(error).headers.get("x-should-retry") == (None if may else "false")


def test_part_of_an_answer_is_told_with_its_usage():
    """Who has a part of an answer learns so, and what it used."""
    error = errors.BackendError("cut")
    error.partial = Usage(prompt_tokens=3, cached_tokens=1, completion_tokens=4)
    told = openai_error(error)
    assert told["partial"] is True
    assert (told["usage"]["prompt_tokens"], told["usage"]["total_tokens"]) == (3, 7)
    assert ollama_error(error) == {
        "error": "remote model is unavailable",
        "partial": True,
        "prompt_eval_count": 3,
        "eval_count": 4,
    }


def test_error_before_any_answer_says_nothing_of_parts():
    """The plain shapes are as they always were."""
    assert openai_error(errors.BackendError("x")) == {
        "message": "remote model is unavailable",
        "type": "api_error",
        "param": None,
        "code": None,
    }
    assert ollama_error(errors.BackendError("x")) == {"error": "remote model is unavailable"}
