"""The name of a request in logs and in ``x-request-id``."""

import re
import secrets

from aiohttp import web

from homeport.server.state import REQUEST_ID

HEADER = "x-request-id"
ANTHROPIC_HEADER = "request-id"
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}")
_FRESH_BYTES = 16
_GENERATION_BYTES = 4


def request_id_of(request: web.BaseRequest) -> str:
    """Take the client's id where it is well formed, else draw one."""
    sent = request.headers.get(HEADER, "")
    return sent if _ACCEPTED.fullmatch(sent) else secrets.token_hex(_FRESH_BYTES)


def generation_id(request: web.Request) -> str:
    """Name one generation of a request; unique even when two clients send one id."""
    return f"{request[REQUEST_ID]}:{secrets.token_hex(_GENERATION_BYTES)}"


def anthropic_id(name: str) -> str:
    """Spell the name of a request as Anthropic's clients know it."""
    return f"req_{name}"
