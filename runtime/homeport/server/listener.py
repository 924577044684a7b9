"""Listening: where the host may listen, and how it stops."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from loguru import logger
from yarl import URL

from homeport.config.settings import ServerSettings
from homeport.domain.errors import ConfigError
from homeport.runtime import Runtime
from homeport.server.app import DEFAULT_PING_SECONDS, build_app
from homeport.server.draining import READINESS, Farewell
from homeport.server.key_file import FILE_NAME, KeyFile
from homeport.server.keys import KeyRing
from homeport.server.upstreams import check_upstreams

_KEEP_ALIVE_SECONDS = 75.0
"""How long a connection may be idle, or take to send its headers."""
_CLOSE_SECONDS = 0.5
"""How long aiohttp waits when all work is done or given up: before it cancels handlers, and again after."""


@asynccontextmanager
async def serve(
    runtime: Runtime,
    *,
    host: str | None = None,
    port: int | None = None,
    ping_seconds: float = DEFAULT_PING_SECONDS,
    farewell: Farewell | None = None,
) -> AsyncIterator[str]:
    """Serve a runtime over HTTP and give the URL it listens on.

    Leaving turns new requests away, waits for running ones, and ends those that take too long with an error.

    Args:
        runtime: Serves the requests.
        host: Address or name to listen on; None takes the configured one.
        port: Port to listen on, 0 takes a free one; None takes the configured one.
        ping_seconds: Longest silence on an SSE stream before a comment is sent.
        farewell: How it stops; None turns new work away at once.

    Raises:
        ConfigError: The address is not allowed, or cannot be listened on, or the file of keys is damaged.
    """
    settings = runtime.settings.server
    host = (settings.host if host is None else host).strip("[]")
    port = settings.port if port is None else port
    keys = await KeyRing.load(settings.api_key, KeyFile(runtime.settings.home / FILE_NAME))
    await check_exposure(settings, host, keys)
    await check_upstreams(runtime.backends, host, port)
    app = build_app(runtime, keys=keys, ping_seconds=ping_seconds)
    async with _listening(app, host, port) as url:
        logger.info("listening on {}", url)
        try:
            yield url
        finally:
            await app[READINESS].drain(runtime.gateway.admission, farewell or Farewell())


async def check_exposure(settings: ServerSettings, host: str, keys: KeyRing) -> None:
    """Refuse an address that others can reach unless they need a key.

    Raises:
        ConfigError: There is no key, and it was not asked for.
    """
    if not keys.is_open or settings.insecure or await _is_loopback(host):
        return
    message = f"refusing to listen on {host!r} without an API key: anybody in the network could use it"
    hint = (
        "Make a key with: homeport keys create NAME; or set HOMEPORT_API_KEY, listen on 127.0.0.1, "
        "or allow it with: homeport serve --insecure"
    )
    raise ConfigError(message, hint=hint)


async def _is_loopback(host: str) -> bool:
    if not host:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return await _resolves_to_loopback(host)


async def _resolves_to_loopback(name: str) -> bool:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        message = f"cannot listen on {name!r}: no such host"
        raise ConfigError(message, hint="Give an address, such as 127.0.0.1") from error
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)


@asynccontextmanager
async def _listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Listen, and give the URL; leaving cancels what still runs."""
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,
        handler_cancellation=True,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        shutdown_timeout=_CLOSE_SECONDS,
    )
    try:
        await runner.setup()
        await _bind(runner, host, port)
        yield _url_of(runner)
    finally:
        await runner.cleanup()


async def _bind(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host or None, port).start()
    except OSError as error:
        message = f"cannot listen on {host or 'all addresses'} port {port}: {error.strerror or error}"
        raise ConfigError(message, hint="Choose another port with --port, or 0 for a free one") from error


def _url_of(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return str(URL.build(scheme="http", host=host, port=port))
