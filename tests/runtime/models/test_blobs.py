"""Uploaded files."""

import asyncio
import hashlib
import subprocess
import sys
import time

import pytest

from homeport.domain.errors import (
    BlobNotFoundError,
    InvalidRequestError,
    PullError,
    RequestTooLargeError,
)
from homeport.models.blobs import KEPT_SECONDS, USED_SECONDS, Blobs, parse_digest

DATA = b"weights" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


async def pieces(*data):
    for piece in data:
        yield piece


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models" / "blobs"


@pytest.fixture
def blobs(folder):
    return Blobs(folder, most_bytes=10_000)


async def test_a_file_is_kept_under_its_own_hash(blobs, folder, tmp_path):
    """It can be asked for and lent; the same upload again reads nothing."""
    assert not await blobs.has(DIGEST)
    assert await blobs.receive(DIGEST, pieces(DATA[:10], DATA[10:]), len(DATA))
    assert await blobs.has(DIGEST)
    assert not await blobs.receive(DIGEST, pieces(b"never read"))
    blobs.lend(DIGEST, tmp_path / "lent" / "model.gguf")
    assert (tmp_path / "lent" / "model.gguf").read_bytes() == DATA
    assert blobs.head(DIGEST, 4) == b"weig"
    assert [path.name for path in folder.iterdir()] == [f"sha256-{DIGEST}"]


@pytest.mark.parametrize(
    ("data", "size", "error", "complaint"),
    [
        (b"other", None, InvalidRequestError, f'digest mismatch, expected "sha256:{DIGEST}", got "sha256:'),
        (b"x" * 10_001, None, RequestTooLargeError, "the blob exceeds 10000 bytes"),
        (b"", 10_001, RequestTooLargeError, "the blob exceeds 10000 bytes"),
    ],
)
async def test_a_wrong_upload_leaves_nothing(blobs, folder, data, size, error, complaint):  # noqa: PLR0917
    """Another hash or too many bytes, told in the words of the wire contract."""
    with pytest.raises(error) as caught:
        await blobs.receive(DIGEST, pieces(data), size)
    assert complaint in caught.value.message
    assert not folder.exists() or list(folder.iterdir()) == []


async def test_an_upload_that_breaks_off_leaves_nothing(blobs, folder):
    """Whatever its source raises."""

    async def breaking():
        yield b"weights"
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await blobs.receive(DIGEST, breaking())
    assert list(folder.iterdir()) == []


async def test_what_the_disk_cannot_hold_is_refused_at_once(folder):
    """With figures, before anything is written."""
    with pytest.raises(PullError, match=r"the upload needs \d+.\d\d GB of disk, \d+.\d\d GB are free"):
        await Blobs(folder, most_bytes=10**18).receive(DIGEST, pieces(b"x"), 10**17)
    assert list(folder.iterdir()) == []


def test_what_is_not_there_cannot_be_lent(blobs, tmp_path):
    """Its digest is named."""
    with pytest.raises(BlobNotFoundError, match=f'blob "sha256:{DIGEST}" not found'):
        blobs.lend(DIGEST, tmp_path / "x")
    with pytest.raises(BlobNotFoundError):
        blobs.head(DIGEST, 4)


async def test_files_that_waited_long_enough_are_swept(blobs):
    """A day where nobody asked, an hour once a model was made of it; asking lets it wait anew."""
    await blobs.receive(DIGEST, pieces(DATA))
    blobs.sweep(time.time() + KEPT_SECONDS - 60)
    assert await blobs.has(DIGEST)
    blobs.note_use(DIGEST)
    blobs.sweep(time.time() + USED_SECONDS - 60)
    assert await blobs.has(DIGEST)
    blobs.note_use(DIGEST)
    blobs.sweep(time.time() + USED_SECONDS + 60)
    assert not await blobs.has(DIGEST)
    blobs.note_use(DIGEST)


async def test_a_killed_upload_is_swept_and_a_running_one_is_not(blobs, folder):
    """The lock of an upload lives as long as its process."""
    code = (
        "import asyncio, os, sys; from pathlib import Path; from homeport.models.blobs import Blobs\n"
        "async def half():\n"
        "    yield b'half'\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(Blobs(Path(sys.argv[1]), 10**6).receive('0' * 64, half()))\n"
    )
    killed = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code, str(folder)], check=False)
    assert killed.returncode == -9
    assert len(list(folder.iterdir())) == 1

    async def sweeping():
        blobs.sweep()
        assert len(list(folder.iterdir())) == 1
        yield DATA

    assert await blobs.receive(DIGEST, sweeping())
    assert [path.name for path in folder.iterdir()] == [f"sha256-{DIGEST}"]


def test_a_link_is_no_upload(blobs, folder, tmp_path):
    """What somebody put into the folder as a link is not followed."""
    folder.mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"x")
    (folder / f"sha256-{DIGEST}").symlink_to(tmp_path / "secret")
    with pytest.raises(BlobNotFoundError):
        blobs.lend(DIGEST, tmp_path / "x")


@pytest.mark.parametrize("text", [f"sha256:{DIGEST}", f"sha256-{DIGEST}"])
def test_digests_are_read(text):
    """With a colon or a hyphen."""
    assert parse_digest(text) == DIGEST


@pytest.mark.parametrize(
    "text", ["", DIGEST, f"sha256:{DIGEST}0", f"sha256:{DIGEST[1:]}", f"SHA256:{DIGEST}", "../x"]
)
def test_what_is_no_digest_is_refused(text):
    """So that it is never a path."""
    with pytest.raises(InvalidRequestError, match="invalid digest format"):
        parse_digest(text)
