"""What belongs to Ollama's cloud and registry."""

import pytest


async def test_the_cloud_is_off(served):
    """Clients that ask are told so, with a status of 200."""
    assert await served.json("GET", "/api/status") == (
        200,
        {"cloud": {"disabled": True, "source": "config"}},
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/me"),
        ("POST", "/api/signout"),
        ("DELETE", "/api/user/keys/abc"),
        ("GET", "/api/experimental/web_search"),
        ("POST", "/api/experimental/a/b"),
    ],
)
async def test_there_are_no_accounts(served, method, path):
    """A 404, not a 401, which would make clients ask people to sign in."""
    assert await served.json(method, path) == (404, {"error": "cloud accounts are not supported"})


async def test_nothing_is_pushed(served):
    """It is said with a status of its own."""
    assert await served.json("POST", "/api/push", {"model": "x"}) == (501, {"error": "push is not supported"})
