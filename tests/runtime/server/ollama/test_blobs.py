"""``/api/blobs/:digest``."""

import asyncio
import hashlib
import io

import attrs
import pytest

from homeport.config.settings import ServerSettings

DATA = b"weights" * 300_000
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
ROUTE = f"/api/blobs/{DIGEST}"


async def test_an_upload_may_be_larger_than_any_other_body(served, settings):
    """Absent, created, there: 404, 201, 200; the bound of bodies does not count."""
    assert len(DATA) > settings.server.max_body_bytes
    for status, method in ((404, "HEAD"), (201, "POST"), (200, "POST"), (200, "HEAD")):
        data = io.BytesIO(DATA) if method == "POST" else None
        async with served.http.request(method, ROUTE, data=data) as response:
            assert (response.status, await response.read()) == (status, b"")


async def test_an_upload_of_unknown_length_is_taken(served):
    """In chunks, under a digest with a hyphen."""

    async def pieces():
        for start in range(0, len(DATA), 100_000):
            yield DATA[start : start + 100_000]

    async with served.http.post(ROUTE.replace(":", "-"), data=pieces()) as response:
        assert response.status == 201


@pytest.mark.parametrize(
    ("path", "data", "status", "text"),
    [
        ("/api/blobs/sha256:1", b"x", 400, "invalid digest format"),
        ("/api/blobs/..%2fx", b"x", 400, "invalid digest format"),
        (
            ROUTE,
            b"x",
            400,
            f'digest mismatch, expected "{DIGEST}", got "sha256:{hashlib.sha256(b"x").hexdigest()}"',
        ),
    ],
)
async def test_a_wrong_upload_is_refused(served, settings, path, data, status, text):  # noqa: PLR0917
    """With both digests, and nothing stays."""
    async with served.http.post(path, data=data) as response:
        assert (response.status, (await response.json())["error"]) == (status, text)
    folder = settings.home / "models" / "blobs"
    assert not await asyncio.to_thread(lambda: list(folder.glob("*")))


async def test_an_upload_above_its_bound_is_refused(settings, serving):
    """By its announced length, and while it comes."""
    server = attrs.evolve(settings.server, max_blob_bytes=1000)

    async def pieces():
        yield b"x" * 2000

    async with serving(attrs.evolve(settings, server=server)) as served:
        for data in (b"x" * 2000, pieces()):
            async with served.http.post(ROUTE, data=data) as response:
                assert (response.status, (await response.json())["error"]) == (413, "request body too large")


async def test_a_compressed_upload_is_refused(served):
    """It would be another file than the digest says, and could be a bomb."""
    async with served.http.post(ROUTE, data=b"x", headers={"Content-Encoding": "gzip"}) as response:
        assert response.status == 415


async def test_an_upload_that_stands_still_ends(settings, serving):
    """Each piece has the time of a whole body."""
    server = ServerSettings(body_timeout_seconds=0.2)

    async def pieces():
        yield b"x"
        await asyncio.Event().wait()

    async with (
        serving(attrs.evolve(settings, server=server)) as served,
        served.http.post(ROUTE, data=pieces()) as response,
    ):
        assert response.status == 408


async def test_an_upload_whose_client_leaves_leaves_nothing(served, settings):
    """The part that came is removed."""
    reader, writer = await asyncio.open_connection(*served.url.removeprefix("http://").split(":"))
    head = f"POST {ROUTE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc"
    writer.write(head.encode())
    await writer.drain()
    folder = settings.home / "models" / "blobs"
    async with asyncio.timeout(30):
        await _until(folder, count=1)
        writer.close()
        assert await reader.read() == b""
        await _until(folder, count=0)


async def _until(folder, count):
    """Look until so many files are there; each look waits for a thread."""
    while len(await asyncio.to_thread(lambda: list(folder.glob("*")))) != count:
        pass
