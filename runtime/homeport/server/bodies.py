"""Request bodies: JSON whatever the ``Content-Type``, bounded in size, depth and time."""

import asyncio
import re
from difflib import get_close_matches
from typing import TypeVar

import msgspec
from aiohttp import hdrs, web

from homeport.domain.errors import InvalidRequestError, RequestTooLargeError
from homeport.server.quoting import quoted
from homeport.server.schemas.terms import RequestTerms
from homeport.server.state import RUNTIME

MAX_DEPTH = 64

# The closing quote is optional so that an unterminated string is consumed at once: linear time.
_NO_BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[^\[\]{}"]++', re.DOTALL)
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")
_TYPE_PROBLEM = re.compile(r"Expected `(?P<wanted>.+?)`, got `(?P<got>.+?)`(?: - at `\$\.?(?P<field>.*)`)?")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<name>.*)` - at `\$\.(?P<field>homeport)`")
_OTHER_PROBLEM = re.compile(r"(?P<problem>.+?) - at `\$\.?(?P<field>.*)`")

StructT = TypeVar("StructT", bound=msgspec.Struct)
ShapeT = TypeVar("ShapeT")


class UnsupportedEncodingError(InvalidRequestError):
    """A compressed body."""

    code = "unsupported_encoding"
    status = 415


class SlowBodyError(InvalidRequestError):
    """A body that did not arrive in time."""

    code = "body_timeout"
    status = 408


async def read_body(request: web.Request, schema: type[StructT], *, most_bytes: int | None = None) -> StructT:
    """Read and decode the body of a request.

    Args:
        request: Being answered.
        schema: What it holds.
        most_bytes: A bound below that of the settings; None is only that one.

    Raises:
        InvalidRequestError: It is empty, broken, too deep, or of another shape; names field and types.
        RequestTooLargeError: It exceeds ``most_bytes`` or ``settings.server.max_body_bytes``.
        UnsupportedEncodingError: It is compressed.
        SlowBodyError: It did not arrive in ``settings.server.body_timeout_seconds``.
    """
    body = await _receive(request)
    if most_bytes is not None and len(body) > most_bytes:
        raise _too_large(most_bytes)
    if not body.strip():
        raise InvalidRequestError("missing request body")
    return decode(body, schema)


async def read_value(request: web.Request) -> object:
    """Read a body that may hold any JSON; None where there is none.

    Raises:
        InvalidRequestError: As :func:`read_body` does, and its further errors.
    """
    body = await _receive(request)
    return decode(body, object) if body.strip() else None


def decode(body: bytes, schema: type[ShapeT]) -> ShapeT:
    """Decode JSON into a struct, or into plain values.

    Raises:
        InvalidRequestError: With the field, what it should be and what it is.
    """
    if too_deep(body):
        raise InvalidRequestError(f"invalid request: body: nested deeper than {MAX_DEPTH} levels")
    try:
        return msgspec.json.decode(body, type=schema)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise InvalidRequestError(f"invalid request: body: {problem}") from None


def too_deep(body: bytes) -> bool:
    """Tell whether brackets outside of strings are nested deeper than ``MAX_DEPTH``, in linear time."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _NO_BRACKET.sub(b"", body).translate(_AS_SQUARE)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    return b"[]" in brackets


async def _receive(request: web.Request) -> bytes:
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity")
    if encoding.lower() != "identity":
        raise UnsupportedEncodingError(f"content encoding {quoted(encoding)} is not supported")
    server = request.app[RUNTIME].settings.server
    if (request.content_length or 0) > server.max_body_bytes:
        raise _too_large(server.max_body_bytes)
    try:
        async with asyncio.timeout(server.body_timeout_seconds):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(server.max_body_bytes) from None
    except TimeoutError:
        message = f"request body did not arrive within {server.body_timeout_seconds:g} s"
        raise SlowBodyError(message) from None


def _too_large(bound: int) -> RequestTooLargeError:
    return RequestTooLargeError(f"the body exceeds {bound} bytes")


def _invalid(problem: str) -> InvalidRequestError:
    """Turn msgspec's message into ``<field>: expected <type>, got <type>``."""
    typed = _TYPE_PROBLEM.fullmatch(problem)
    if typed:
        wanted = " or ".join(kind for kind in typed["wanted"].split(" | ") if kind != "null")
        problem, field = f"expected {wanted}, got {typed['got']}", typed["field"]
    elif unknown := _UNKNOWN_FIELD.fullmatch(problem):
        known = RequestTerms.__struct_fields__
        near = get_close_matches(unknown["name"], known, n=1)
        allowed = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        field = f"{unknown['field']}.{unknown['name']}"
        problem = f"unknown field; {allowed}"
    else:
        other = _OTHER_PROBLEM.fullmatch(problem)
        problem, field = (other["problem"].lower(), other["field"]) if other else (problem, None)
    return InvalidRequestError(f"invalid request: {field or 'body'}: {problem}", field=field)
