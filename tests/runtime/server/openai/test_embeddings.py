"""``POST /v1/embeddings``."""

import base64
import struct

import pytest

PATH = "/v1/embeddings"


async def test_texts_become_vectors(served):
    """A list of embeddings by index, with usage."""
    assert await served.json("POST", PATH, {"model": "vectors", "input": ["a", "b"]}) == (
        200,
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": 0, "embedding": [0.6, 0.8]},
                {"object": "embedding", "index": 1, "embedding": [0.6, 0.8]},
            ],
            "model": "vectors",
            "usage": {"prompt_tokens": 2, "total_tokens": 2},
        },
    )


async def test_base64_is_little_endian_float32(served):
    """The form that the official client asks for by default."""
    body = {"model": "vectors", "input": "a", "encoding_format": "base64"}
    _, answer = await served.json("POST", PATH, body)
    packed = base64.b64decode(answer["data"][0]["embedding"])
    assert struct.unpack("<2f", packed) == pytest.approx((0.6, 0.8))


@pytest.mark.parametrize(
    ("value", "inputs"),
    [("a", ("a",)), ([1, 2], ((1, 2),)), ([[1], [2, 3]], ((1,), (2, 3))), (["a", "b"], ("a", "b"))],
)
async def test_inputs_are_texts_or_token_ids(served, value, inputs):
    """Four forms, and the dimensions arrive."""
    body = {"model": "vectors", "input": value, "dimensions": 8, "keep_alive": 3}
    assert (await served.json("POST", PATH, body))[0] == 200
    (asked,) = served.scripted.asked
    assert (asked.inputs, asked.dimensions, asked.keep_alive_seconds) == (inputs, 8, 3.0)


@pytest.mark.parametrize(
    ("fields", "status", "param", "text"),
    [
        ({"input": None}, 400, "input", "invalid input"),
        ({"input": []}, 400, "input", "invalid input"),
        ({"input": 5}, 400, "input", "invalid request: input: expected str or array, got int"),
        ({"input": ["a", 1]}, 400, "input", "invalid request: input: expected only texts"),
        ({"input": ["a"] * 2049}, 400, "input", "input must hold at most 2048 texts, got 2049"),
        ({"dimensions": 0}, 400, "dimensions", "dimensions must be between 1 and 32, got 0"),
        ({"dimensions": 33}, 400, "dimensions", "dimensions must be between 1 and 32, got 33"),
        (
            {"encoding_format": "int8"},
            400,
            "encoding_format",
            "Invalid value for 'encoding_format' = int8. Supported values: ['float', 'base64'].",
        ),
        ({"model": ""}, 400, "model", "model is required"),
        ({"model": "nope"}, 404, "model", 'model "nope" not found, try pulling it first'),
    ],
)
async def test_what_cannot_be_embedded_is_named(served, fields, status, param, text):
    """Each refusal has its status, field and text."""
    answer = await served.json("POST", PATH, {"model": "vectors", "input": "a"} | fields)
    assert (answer[0], answer[1]["error"]["param"]) == (status, param)
    assert answer[1]["error"]["message"].startswith(text)
