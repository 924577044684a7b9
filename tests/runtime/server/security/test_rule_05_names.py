"""Rule 5: names and digests are matched before they lead anywhere, and no answer tells a path."""

import asyncio
import os
from urllib.parse import quote

import msgspec
import pytest
from yarl import URL

from homeport.server.endpoints import ENDPOINTS

NAME_FIELDS = ("model", "name", "from_", "source", "destination")
"""Fields that hold the name of a model, as structs spell them."""
EVIL = [
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "..",
    "a/../../b",
    "a\\..\\..\\b",
    "/etc/passwd",
    "C:\\Windows\\win.ini",
    "C:/Windows/win.ini",
    "nul\0byte",
    "a\u2215..\u2215b",
    "\uff0e\uff0e\uff0fetc",
    "file:///etc/passwd",
    "~/.ssh/id_rsa",
    "hf.co/../../../etc/passwd",
    "echo:../../tag",
    "name:tag:tag",
    "\u202egnp.exe",
    "x" * 5000,
    "line\nbreak",
    "$(id)",
    "@sha256:" + "0" * 64,
]


def _fields():
    """List every field of every route that names a model."""
    for endpoint in ENDPOINTS:
        struct = endpoint.wire.request if endpoint.wire else None
        for field in msgspec.structs.fields(struct) if struct else ():
            if field.name in NAME_FIELDS:
                yield pytest.param(endpoint, field.encode_name, id=f"{endpoint.path}-{field.encode_name}")


def _tree(folder):
    return sorted((root, tuple(sorted(names))) for root, _, names in os.walk(folder))


@pytest.fixture
async def surroundings(settings):
    """What lies around the home, before and after."""
    before = await asyncio.to_thread(_tree, settings.home.parent)
    yield
    after = await asyncio.to_thread(_tree, settings.home.parent)
    outside = [each for each in after if not each[0].startswith(str(settings.home))]
    assert outside == [each for each in before if not each[0].startswith(str(settings.home))]


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize(("endpoint", "field"), [*_fields()])
async def test_a_name_that_leads_elsewhere_leads_nowhere(served, settings, endpoint, field):
    """Dots, slashes of all kinds, drives, NUL and control characters: 400 or 404, and no path is told."""
    for evil in EVIL:
        body = {**(endpoint.wire.example or {}), field: evil}
        if field == "name":
            body.pop("model", None)
        async with served.http.request(endpoint.method, endpoint.path, json=body) as response:
            text = await response.text()
            assert response.status in (400, 404), (evil, text)
            assert str(settings.home) not in text
            assert "Traceback" not in text


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize("evil", EVIL)
async def test_an_id_in_a_path_leads_nowhere(served, settings, evil):
    """The same holds for what stands in the URL."""
    for url in (f"/v1/models/{quote(evil)}", f"/v1/models/{quote(evil, safe='')}"):
        async with served.http.get(URL(served.url + url, encoded=True)) as response:
            text = await response.text()
            assert response.status in (400, 404), text
            assert str(settings.home) not in text


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../etc",
        "sha256:",
        "md5:" + "0" * 32,
        "sha256:" + "0" * 63,
        "sha256:" + "G" * 64,
        "..%2f..%2fx",
    ],
)
@pytest.mark.parametrize("method", ["HEAD", "POST"])
async def test_a_digest_is_64_digits_or_none(served, method, digest):
    """Nothing else becomes the name of a file."""
    url = URL(f"{served.url}/api/blobs/{digest}", encoded=True)
    async with served.http.request(method, url, data=b"x") as response:
        assert response.status in (400, 404)


@pytest.mark.parametrize("path", ["/api/generate", "/v1/completions", "/v1/messages"])
async def test_what_fails_inside_is_told_in_few_words(served, settings, path):
    """A fault of ours tells no path, class or cause; the log has them under the request id."""

    async def fail(request):
        raise OSError(2, "No such file", f"{settings.home}/secret/place")
        yield

    served.scripted.script = fail
    body = {
        "model": "scripted:1b",
        "prompt": "x",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 5,
    }
    async with served.http.post(path, json={**body, "stream": False}) as response:
        text = await response.text()
        assert response.status >= 500
        assert "secret" not in text
        assert "OSError" not in text
        assert response.headers["x-request-id"]
