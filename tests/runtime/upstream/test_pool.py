import asyncio
import shutil
import ssl
import subprocess
from contextlib import asynccontextmanager

import msgspec
import pytest

from homeport import BackendError, BackendRefusedError, DeadlineError
from homeport.testing.leaks import nothing_left_behind
from homeport.testing.raw_server import Move, chunk, head, whole
from homeport.upstream.address import upstream_url
from homeport.upstream.pool import ConnectionPool, PoolSettings
from homeport.upstream.refused import UnreachableError


class Anything(msgspec.Struct):
    ok: bool


@asynccontextmanager
async def pool_of(url, **settings):
    pool = ConnectionPool(PoolSettings(backend="b", url=upstream_url(url), **settings))
    try:
        yield pool
    finally:
        await pool.aclose()


async def ask(pool):
    async with pool.send("GET", "/x") as reply:
        return await reply.body(Anything, most_bytes=1000)


async def test_connection_is_reused(raw):
    """A hundred requests one after the other open one connection."""
    raw.play("GET", "/x", [whole({"ok": True})])
    async with pool_of(raw.url) as pool:
        for _ in range(100):
            await ask(pool)
        figures = pool.figures()
        assert figures["total_connections"] == figures["idle_connections"] == 1
        assert (figures["total_requests"], figures["failed_requests"]) == (100, 0)
        assert figures["hit_rate"] == 0.99
        assert 0 < figures["response_time_p50"] <= figures["response_time_p99"] < 1
    assert raw.connections == 1
    assert pool.figures()["total_connections"] == 0


async def test_connections_are_bounded(raw):
    """More requests than connections wait for one."""
    raw.play("GET", "/x", [whole({"ok": True})])
    async with pool_of(raw.url, connections=2) as pool, asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(ask(pool))
    assert raw.connections == 2


async def test_idle_connection_is_closed_after_its_time(raw):
    """An unused connection does not stay open."""
    raw.play("GET", "/x", [whole({"ok": True})])
    async with pool_of(raw.url, idle_seconds=0.05) as pool:
        await ask(pool)
        async with asyncio.timeout(10):
            while pool.figures()["total_connections"]:  # noqa: ASYNC110 - figures tell nobody
                await asyncio.sleep(0.01)


async def test_stream_read_to_its_last_line_gives_its_connection_back(raw):
    """What stands behind the last line is read, so that the connection can be used again."""
    raw.play("GET", "/s", [head(), chunk(b"a\n"), chunk(b"b\n"), chunk(b"")])
    async with pool_of(raw.url) as pool:
        for _ in range(3):
            async with pool.send("GET", "/s") as reply:
                assert [await reply.line(), await reply.line()] == [b"a", b"b"]
                reply.is_over = True
    assert raw.connections == 1


async def test_leaving_a_stream_closes_its_connection(raw):
    """The other side learns at once that nobody listens."""
    raw.play("GET", "/s", [head(), chunk(b"a\n"), Move.HANG])
    async with pool_of(raw.url) as pool:
        async with pool.send("GET", "/s") as reply:
            assert await reply.line() == b"a"
        async with asyncio.timeout(5):
            await raw.left.wait()


@pytest.mark.parametrize("move", [Move.CLOSE, Move.RESET])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 2", head(), head() + chunk(b"a\nb")])
async def test_connection_that_breaks_is_an_error_of_the_backend(raw, said, move):
    """Whenever it breaks, before the head, within it or within the body."""
    raw.play("GET", "/s", [said, move])
    async with pool_of(raw.url) as pool:
        with pytest.raises(BackendError):
            async with pool.send("GET", "/s") as reply:
                while await reply.line() is not None:
                    pass
        assert pool.figures()["failed_requests"] == 1


@pytest.mark.parametrize(
    "script",
    [
        whole(b"no json"),
        whole({"ok": "yes"}),
        whole([1]),
        whole(b"[" * 5000),
        whole({"ok": True, "more": "x" * 1000}),
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
async def test_nonsense_is_an_error_of_the_backend(raw, script):
    """Neither wrong types, nor too much, nor another protocol surprises us."""
    raw.play("GET", "/x", [script, Move.CLOSE])
    async with pool_of(raw.url) as pool:
        with pytest.raises(BackendError):
            await ask(pool)


async def test_nobody_there_is_told_with_the_address():
    """The log names what could not be reached; a client does not see it."""
    async with pool_of("http://127.0.0.1:9") as pool:
        with pytest.raises(BackendError, match=r"'b' at http://127\.0\.0\.1:9/ cannot be reached") as caught:
            await ask(pool)
        assert "127" not in caught.value.public_message
        assert pool.figures()["error_connections"] == 1


async def test_silence_ends_after_the_total_time(raw):
    """A server that takes a request and says nothing holds us no longer than was allowed."""
    raw.play("GET", "/x", [Move.HANG])
    async with pool_of(raw.url, total_seconds=0.1) as pool:
        with pytest.raises(DeadlineError, match=r"backend took longer than 0\.1 s"):
            await ask(pool)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 abc\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        head() + b"zz\r\n",
        whole(b"no such key: Bearer A-KEY", 401),
        whole(b"no such key: Bearer A-KEY", 500),
    ],
)
async def test_key_is_in_no_error(raw, said):
    """Neither the form that errors have for programmers nor a server that repeats it brings it into a log."""
    raw.play("GET", "/x", [said, Move.CLOSE])
    async with pool_of(raw.url) as pool:
        with pytest.raises(BackendError) as caught:
            async with pool.send("GET", "/x", headers={"Authorization": "Bearer A-KEY"}) as reply:
                await reply.read(100)
    assert "A-KEY" not in f"{caught.value!r} {caught.value} {caught.value.hint}"


async def test_redirect_is_not_followed(raw):
    """A key never travels to a place that the settings do not name."""
    raw.play("GET", "/x", [whole({}, 307, Location=f"{raw.url}/y")])
    async with pool_of(raw.url) as pool:
        with pytest.raises(BackendRefusedError):
            await ask(pool)
    assert [asked.path for asked in raw.asked] == ["/x"]


async def test_readers_error_passes_and_nothing_is_left_behind(raw):
    """A pool neither wraps what its reader raises nor leaks its connection."""
    raw.play("GET", "/s", [head(), chunk(b"a\n"), Move.HANG])
    async with nothing_left_behind(), pool_of(raw.url) as pool:
        with pytest.raises(KeyError):
            async with pool.send("GET", "/s") as reply:
                raise KeyError(await reply.line())


@pytest.fixture
def own_certificate(tmp_path):
    """Settings of a server whose certificate nobody vouches for."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the command openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


async def test_certificate_that_nobody_vouches_for_is_refused(own_certificate):
    """Nothing is sent to a server that cannot prove who it is, least of all a key."""
    heard = bytearray()

    async def listen(reader, writer):
        heard.extend(await reader.read(1000))
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0, ssl=own_certificate) as server:
        port = server.sockets[0].getsockname()[1]
        async with pool_of(f"https://localhost:{port}") as pool:
            with pytest.raises(UnreachableError, match="certificate"):
                await ask(pool)
    assert not heard
