"""Rule 6: nothing that a request brings is run, fetched or opened."""

import http.server
import threading
from contextlib import contextmanager

import msgspec
import pytest

from homeport.server.endpoints import ENDPOINTS

FORBIDDEN = {
    "api_base", "base_url", "url", "uri", "endpoint", "webhook", "callback", "callback_url", "proxy",
    "path", "file", "filename", "folder", "directory", "command", "cmd", "exec", "shell", "script",
    "class", "class_name", "module", "import", "plugin", "factory", "trust_remote_code",
}  # fmt: skip
"""What would make a request lead somewhere."""
INFERENCE = [each for each in ENDPOINTS if each.wire and each.wire.infers and each.path != "/api/pull"]


def _structs(kind, seen):
    """Walk the structs below a type."""
    info = msgspec.inspect.type_info(kind)
    stack = [info]
    while stack:
        node = stack.pop()
        if isinstance(node, msgspec.inspect.StructType):
            if node.cls in seen:
                continue
            seen.add(node.cls)
            stack.extend(field.type for field in node.fields)
        else:
            for name in ("types", "item_types"):
                stack.extend(getattr(node, name, ()))
            names = ("item_type", "value_type", "key_type")
            stack.extend(getattr(node, name) for name in names if hasattr(node, name))
    return seen


@contextmanager
def _canary():
    """Listen, and remember who comes."""
    visits = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            visits.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the name that the library calls

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", visits
        finally:
            server.shutdown()
            thread.join()


def test_no_field_leads_anywhere():
    """No struct of a request has a field for an address, a path, a command or a class."""
    requests = [each.wire.request for each in ENDPOINTS if each.wire and each.wire.request]
    structs = set()
    for request in requests:
        _structs(request, structs)
    names = {field.encode_name for struct in structs for field in msgspec.structs.fields(struct)}
    assert not names & FORBIDDEN


@pytest.mark.parametrize("endpoint", INFERENCE, ids=lambda each: each.path)
async def test_what_other_servers_follow_is_not_followed(served, settings, endpoint):
    """Fields that made other servers fetch or open something do nothing: the canaries see nobody."""
    file = settings.home / "canary"
    with _canary() as (url, visits):
        lures = {name: f"{url}/{name}" for name in FORBIDDEN - {"path", "file"}}
        lures |= {"path": str(file), "file": f"file://{file}", "extra_body": {"api_base": url}}
        body = {**(endpoint.wire.example or {}), "model": "echo", **lures, "options": {"api_base": url}}
        async with served.http.post(endpoint.path, json=body) as response:
            await response.read()
        assert visits == []


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/chat/completions", [{"type": "image_url", "image_url": {"url": "URL"}}]),
        ("/v1/chat/completions", [{"type": "image_url", "image_url": "URL"}]),
        ("/v1/chat/completions", [{"type": "input_audio", "input_audio": {"data": "URL", "format": "wav"}}]),
        ("/v1/chat/completions", [{"type": "file", "file": {"file_id": "URL"}}]),
        ("/v1/responses", [{"type": "input_image", "image_url": "URL"}]),
        ("/v1/messages", [{"type": "image", "source": {"type": "url", "url": "URL"}}]),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "file"])
async def test_the_address_of_a_picture_is_refused(served, path, content, scheme):
    """Nobody is asked for it, and no file is read."""
    with _canary() as (url, visits):
        target = f"{url}/x.png" if scheme == "http" else "file:///etc/passwd"
        body = msgspec.json.encode({"model": "echo", "max_tokens": 5, "input": 0, "messages": 0})
        message = [{"role": "user", "content": content}]
        text = msgspec.json.encode(message).decode().replace("URL", target)
        body = body.replace(b'"input":0', f'"input":{text}'.encode()).replace(
            b'"messages":0', f'"messages":{text}'.encode()
        )
        async with served.http.post(path, data=body) as response:
            answer = await response.text()
            assert response.status == 400, answer
        assert visits == []
        assert "root:" not in answer


@pytest.mark.parametrize(
    "text", ["{{ 7 * 7 }}", "{% for x in ().__class__.__mro__ %}x{% endfor %}", "{{ .Prompt }}", "${7*7}"]
)
@pytest.mark.parametrize("path", ["/api/generate", "/api/chat", "/v1/chat/completions", "/v1/completions"])
async def test_text_is_never_a_template(served, path, text):
    """What looks like a template comes back as it was sent."""
    body = {"model": "echo", "prompt": text, "messages": [{"role": "user", "content": text}], "stream": False}
    async with served.http.post(path, json=body) as response:
        answer = msgspec.json.encode(text).decode()[1:-1]
        assert answer in (await response.text()).replace("\\u007b", "{")
