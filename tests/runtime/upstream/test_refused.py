from datetime import UTC, datetime

import pytest

from homeport import (
    BackendError,
    BackendRefusedError,
    ContextOverflowError,
    InvalidRequestError,
    ModelNotFoundError,
    OverloadedError,
)
from homeport.domain.overload import DrainingError
from homeport.upstream.refused import NoSuchPathError, Refused, retry_after_seconds

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def error_of(status, text="", model="m:1", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Refused(backend="b", model=model, status=status, headers=named, text=text).error()


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (302, "", BackendRefusedError),
        (400, "bad", InvalidRequestError),
        (400, "maximum context length is 4096", ContextOverflowError),
        (401, "", BackendRefusedError),
        (403, "", BackendRefusedError),
        (404, '{"error":"model \'m:1\' not found"}', ModelNotFoundError),
        (404, "404 page not found", NoSuchPathError),
        (408, "", BackendError),
        (413, "", InvalidRequestError),
        (429, "slow down", OverloadedError),
        (429, '{"code":"insufficient_quota"}', BackendRefusedError),
        (500, "", BackendError),
        (502, "", BackendError),
        (503, "", OverloadedError),
        (503, '{"error":{"code":"draining"}}', DrainingError),
        (529, "", OverloadedError),
    ],
)
def test_each_status_becomes_one_class(status, text, kind):
    """The class decides on retry, fallback and breaker."""
    assert type(error_of(status, text)) is kind


def test_what_the_server_said_is_not_shown_to_clients():
    """Bodies of other servers may hold hosts, paths or keys."""
    for status in (302, 400, 401, 404, 429, 500, 503):
        assert "SECRET" not in error_of(status, "model SECRET").public_message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0.2", 1),
        ("-5", 1),
        ("1e999", 120),
        ("nan", 1),
        ("-inf", 1),
        ("soon", 1),
        ("", 1),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 1),
        ("Mon, 21 Nov 2033 12:00:00 GMT", 120),
    ],
)
def test_retry_after_is_read_as_seconds_or_date_and_bounded(value, seconds):
    """A server cannot make us wait for ever, nor not at all."""
    assert retry_after_seconds({"Retry-After": value}, NOW) == seconds


def test_overload_carries_its_time():
    """The gateway waits as long as the server asks."""
    assert error_of(503, Retry_After="9").retry_after_seconds == 9
