import json

import pytest

from homeport.cli.address import Address
from homeport.cli.client import AnswerError, Client, NoServerError


def streamed(client):
    with client.stream("/api/chat", {"model": "m"}) as chunks:
        return list(chunks)


def test_a_request_carries_key_and_json(scripted):
    """The server sees verb, path, bearer key and body."""
    with scripted('{"a": 1}') as (server, client):
        assert client.ask("DELETE", "/api/delete", {"model": "m"}) == {"a": 1}
    ((verb, path, headers, body),) = server.seen
    assert (verb, path, json.loads(body)) == ("DELETE", "/api/delete", {"model": "m"})
    assert headers["Authorization"] == "Bearer k-1"


def test_an_empty_answer_is_an_empty_object(scripted):
    """Delete answers nothing at all."""
    with scripted("") as (_, client):
        assert client.ask("DELETE", "/api/delete", {}) == {}


@pytest.mark.parametrize(
    ("body", "status", "message", "hint"),
    [
        (
            '{"error":"model \'x\' not found","suggestions":["y:1"]}',
            "404 Not Found",
            "model 'x' not found",
            "y:1",
        ),
        (
            '{"error":"model \'y:1\' not found","suggestions":["y:1"]}',
            "404 Not Found",
            "not found",
            "homeport pull y:1",
        ),
        ('{"error":"no room","hint":"homeport rm x"}', "507 Full", "no room", "homeport rm x"),
        ('{"error":"unauthorized"}', "401 Unauthorized", "unauthorized", "HOMEPORT_API_KEY"),
        ("", "403 Forbidden", "answered 403 Forbidden", "host name"),
        ("<html>", "502 Bad Gateway", "answered 502 Bad Gateway", ""),
        ('{"error":"\\u001b[2Jgone"}', "500 Oops", "[2Jgone", ""),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(scripted, body, status, message, hint):
    """The text of the error object is shown, harmless, with a way on where there is one."""
    with scripted(body, status=status) as (_, client), pytest.raises(AnswerError) as caught:
        client.ask("POST", "/api/show", {"model": "x"})
    assert caught.value.message.endswith(message)
    assert hint in (caught.value.hint or "")
    assert caught.value.http_status == int(status[:3])


def test_a_stream_is_read_line_by_line(scripted):
    """Blank lines, which some proxies add, do not end a stream."""
    with scripted('{"n":1}\n\n{"n":2}\n') as (_, client):
        assert streamed(client) == [{"n": 1}, {"n": 2}]


def test_an_error_inside_a_stream_is_raised_after_what_came_before(scripted):
    """What was answered before the error is not lost."""
    seen = []
    with (
        scripted('{"n":1}\n{"error":"worker died"}\n') as (_, client),
        pytest.raises(AnswerError, match="worker died"),
        client.stream("/x", {}) as chunks,
    ):
        seen.extend(iter(chunks.__next__, None))
    assert seen == [{"n": 1}]


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n[1, 2]",
        b"220 mail.example.org ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"",
    ],
)
def test_nonsense_is_an_error_that_names_the_address(scripted, raw):
    """Somebody else's server, or half an answer, is no traceback."""
    with scripted(raw=raw) as (server, client), pytest.raises(AnswerError, match=str(server.server_port)):
        client.ask("GET", "/api/version")


def test_an_error_of_the_reader_is_not_blamed_on_the_server(scripted):
    """What goes wrong while chunks are used passes through."""
    with (
        scripted('{"n":1}\n') as (_, client),
        pytest.raises(BrokenPipeError),
        client.stream("/x", {}) as chunks,
    ):
        next(chunks)
        raise BrokenPipeError


def test_nobody_at_the_address_is_its_own_error(free_port):
    """A caller can tell a missing server from one that refuses."""
    client = Client(Address(host="127.0.0.1", port=free_port))
    assert not client.is_answering()
    with pytest.raises(NoServerError, match=f"no server answers at http://127.0.0.1:{free_port}"):
        client.ask("GET", "/api/version")
