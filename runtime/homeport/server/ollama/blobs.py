"""``/api/blobs/:digest``: files that models are made of, uploaded beforehand."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import ClientError, hdrs, web

from homeport.domain.errors import BlobNotFoundError
from homeport.models.blobs import parse_digest
from homeport.server.bodies import SlowBodyError, UnsupportedEncodingError
from homeport.server.draining import READINESS
from homeport.server.failure import ClientGoneError
from homeport.server.quoting import quoted
from homeport.server.state import RUNTIME

_PIECE_BYTES = 1024**2


async def find_blob(request: web.Request) -> web.StreamResponse:
    """Say whether a file is there."""
    digest = parse_digest(request.match_info["digest"])
    if not await request.app[RUNTIME].blobs.has(digest):
        raise BlobNotFoundError(digest)
    return web.Response()


async def upload_blob(request: web.Request) -> web.StreamResponse:
    """Take a file in, whatever its size below the settings' bound."""
    digest = parse_digest(request.match_info["digest"])
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity")
    if encoding.lower() != "identity":
        raise UnsupportedEncodingError(f"content encoding {quoted(encoding)} is not supported")
    with request.app[READINESS].until_cut():
        is_new = await request.app[RUNTIME].blobs.receive(digest, _pieces(request), request.content_length)
    return web.Response(status=201 if is_new else 200)


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    """Gather a body into pieces of a size that is worth a write; each may take as long as a body may."""
    seconds = request.app[RUNTIME].settings.server.body_timeout_seconds
    gathered = bytearray()
    while True:
        try:
            async with asyncio.timeout(seconds):
                data = await request.content.readany()
        except TimeoutError:
            raise SlowBodyError(f"nothing more of the body arrived within {seconds:g} s") from None
        except (ClientError, ConnectionError, web.RequestPayloadError) as error:
            raise ClientGoneError from error
        gathered += data
        if not data or len(gathered) >= _PIECE_BYTES:
            if gathered:
                yield bytes(gathered)
            gathered.clear()
        if not data:
            return
