"""``GET /v1/models`` and ``GET /v1/models/{id}``."""

import pytest
from yarl import URL


async def test_the_list_has_ids_times_and_owners(served):
    """Whole seconds, and the namespace as owner."""
    status, answer = await served.json("GET", "/v1/models")
    assert (status, answer["object"]) == (200, "list")
    assert answer["data"][0] == {
        "id": "scripted:1b",
        "object": "model",
        "created": 1772368200,
        "owned_by": "library",
    }
    assert [model["owned_by"] for model in answer["data"]] == ["library", "library", "library", "acme"]


@pytest.mark.parametrize("tail", ["acme/tiny:q8", "acme%2Ftiny:q8", "acme%2Ftiny%3Aq8", "ACME/tiny:q8"])
async def test_an_id_may_hold_slashes(served, tail):
    """The route takes the whole tail, encoded or not, and echoes the name."""
    status, answer = await served.json("GET", URL(f"/v1/models/{tail}", encoded=True))
    assert (status, answer["owned_by"]) == (200, "acme")
    assert answer["id"].lower() == "acme/tiny:q8"


@pytest.mark.parametrize(
    ("tail", "status", "code"),
    [
        ("nope", 404, "model_not_found"),
        ("a/b/c/d", 400, None),
        ("..%2f..%2fetc%2fpasswd", 400, None),
        ("a%00b", 400, None),
        ("C:%5Cx", 400, None),
        ("a%E2%88%95b", 400, None),
    ],
)
async def test_what_is_no_model_is_named(served, tail, status, code):
    """Unknown and malformed ids end in an error object."""
    answer = await served.json("GET", URL(f"/v1/models/{tail}", encoded=True))
    assert (answer[0], answer[1]["error"]["code"]) == (status, code)
