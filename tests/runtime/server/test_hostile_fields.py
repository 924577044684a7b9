"""Every field of the inference routes with values that nobody should send."""

import json

import pytest

from homeport.server.schemas import ollama, openai

HI = [{"role": "user", "content": "hi"}]
ROUTES = {
    "/api/generate": (ollama.GenerateRequest, {"prompt": "hi", "stream": False}),
    "/api/chat": (ollama.ChatRequest, {"messages": HI, "stream": False}),
    "/v1/chat/completions": (openai.ChatRequest, {"messages": HI}),
    "/v1/completions": (openai.CompletionRequest, {"prompt": "hi"}),
}


def _nested(depth: int) -> object:
    value: object = {}
    for level in range(depth):
        value = [value] if level % 2 else {"type": value}
    return value


VALUES = [
    True,
    0,
    -1,
    1.5,
    1e308,
    10**30,
    -(10**30),
    "",
    "x",
    "\0",
    "\ud800",
    "é" * 70_000,
    [],
    [None],
    [[]],
    [{}],
    ["x"] * 3000,
    [0, -1, 10**30],
    {},
    {"": None},
    {"name": "x", "type": "function", "function": {"name": "x", "arguments": "{"}},
    [{"type": "function", "function": {"name": "x", "parameters": _nested(40)}}],
    [{"role": "assistant", "tool_calls": [{"function": None}]}],
    [{"role": "tool", "content": [{"type": "text", "text": None}, {"type": None}]}],
    {"type": "json_schema", "json_schema": {"schema": _nested(20)}},
    {"json": "[", "regex": "(", "choice": [""], "grammar": 5},
    _nested(63),
    _nested(100),
]


@pytest.mark.parametrize("path", ROUTES)
async def test_no_value_of_a_field_breaks_the_server(speaking, path):
    """Whatever stands in one field: an answer, or a 4xx that has a text."""
    shape, body = ROUTES[path]
    for field in shape.__struct_fields__:
        for value in VALUES:
            sent = json.dumps({"model": "speaking:1b"} | body | {field: value})
            async with speaking.http.post(path, data=sent.encode()) as response:
                text = await response.text()
                told = (field, value, text[:300])
                assert response.status < 500, told
                assert response.status == 200 or json.loads(text)["error"], told
