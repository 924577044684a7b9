"""A bounded pool of connections to one server."""

import asyncio
import http
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import attrs
import msgspec
from loguru import logger
from yarl import URL

from homeport.domain.errors import BackendError, HomeportError
from homeport.domain.overload import DeadlineError
from homeport.upstream.address import is_loopback
from homeport.upstream.pool_stats import PoolStats
from homeport.upstream.refused import Refused, UnreachableError
from homeport.upstream.reply import Reply, cause_of

_MOST_ERROR_BYTES = 65536


@attrs.frozen(kw_only=True)
class PoolSettings:
    """How a server is reached.

    Attributes:
        backend: Name of the backend, for messages.
        url: Root of the API.
        connections: How many there are at most.
        idle_seconds: How long an unused one stays open.
        connect_seconds: How long opening one may take.
        total_seconds: How long an exchange may take, the wait for a connection included.
    """

    backend: str
    url: URL
    connections: int = 2
    idle_seconds: float = 300.0
    connect_seconds: float = 2.0
    total_seconds: float = 300.0


class ConnectionPool:
    """Sends requests; redirects are not followed, cookies not kept, answers not compressed."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._stats = PoolStats()
        self._session: aiohttp.ClientSession | None = None

    @property
    def address(self) -> str:
        """Where it sends requests."""
        return str(self._settings.url)

    @property
    def is_busy(self) -> bool:
        """Whether all connections are in use."""
        return self._stats.active >= self._settings.connections

    def figures(self) -> Mapping[str, object]:
        """Give what it has counted."""
        return self._stats.figures()

    @asynccontextmanager
    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        model: str = "",
    ) -> AsyncIterator[Reply]:
        """Send a request and give its answer; leaving before the answer's end closes the connection.

        Args:
            method: Verb.
            path: Below the root.
            body: Sent as JSON.
            headers: Further ones.
            model: What the answer is to tell of, for messages.

        Raises:
            HomeportError: The server cannot be reached, or refuses.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        self._stats.active += 1
        reply: Reply | None = None
        failed = False
        try:
            try:
                reply = await self._exchange(method, path, body, headers or {})
                await self._check(reply, model, headers or {})
            except HomeportError as error:
                failed = error.trips_breaker
                raise
            yield reply
            await reply.leave()
        finally:
            self._stats.active -= 1
            if reply is not None:
                failed = failed or reply.failed
                reply.close()
            self._stats.note(loop.time() - started, failed=failed)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _exchange(
        self, method: str, path: str, body: Mapping[str, object] | None, headers: Mapping[str, str]
    ) -> Reply:
        settings = self._settings
        data = None if body is None else msgspec.json.encode(body)
        with self._watched():
            response = await self._open().request(
                method,
                settings.url.joinpath(path.lstrip("/"), encoded=True),
                data=data,
                headers={"Content-Type": "application/json", **headers} if data is not None else headers,
                allow_redirects=False,
            )
        return Reply(settings.backend, response, settings.total_seconds)

    async def _check(self, reply: Reply, model: str, sent: Mapping[str, str]) -> None:
        if reply.status == http.HTTPStatus.OK:
            return
        text = _without_key((await reply.read(_MOST_ERROR_BYTES)).decode(errors="replace"), sent)
        backend = self._settings.backend
        logger.debug("backend {} answered {}: {!r:.500}", backend, reply.status, text)
        raise Refused(
            backend=backend, model=model, status=reply.status, headers=reply.headers, text=text
        ).error()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            settings = self._settings
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=settings.connections,
                    keepalive_timeout=settings.idle_seconds,
                    socket_factory=self._stats.open_socket,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity", "User-Agent": "homeport"},
                timeout=aiohttp.ClientTimeout(
                    total=settings.total_seconds, sock_connect=settings.connect_seconds
                ),
                trace_configs=[self._stats.tracing()],
                proxy=_proxy(settings.url),
            )
        return self._session

    @contextmanager
    def _watched(self) -> Iterator[None]:
        backend, url = self._settings.backend, self._settings.url
        try:
            yield
        except aiohttp.ConnectionTimeoutError as error:
            self._stats.connection_errors += 1
            raise UnreachableError(
                f"backend {backend!r} at {url} took no connection within {self._settings.connect_seconds:g} s"
            ) from error
        except TimeoutError as error:
            raise DeadlineError("backend", self._settings.total_seconds) from error
        except aiohttp.ClientConnectorError as error:
            self._stats.connection_errors += 1
            raise UnreachableError(f"backend {backend!r} at {url} cannot be reached: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            self._stats.connection_errors += 1
            raise BackendError(f"backend {backend!r} at {url} broke off: {cause_of(error)}") from error


def _without_key(text: str, sent: Mapping[str, str]) -> str:
    """Take the key out of what a server says of a request: some repeat it."""
    key = sent.get("Authorization", "").rpartition(" ")[2]
    return text.replace(key, "[key]") if key else text


def _proxy(url: URL) -> str | None:
    """Give the proxy that the environment names for a server, never one for this machine."""
    if is_loopback(url) or urllib.request.proxy_bypass(url.host or ""):
        return None
    return urllib.request.getproxies().get(url.scheme)
