import pytest

from homeport import InvalidRequestError
from homeport.server.hops import read_hops
from homeport.upstream.hops import MOST_HOPS

CHAT = {"model": "scripted:1b", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_request_that_went_in_circles_is_refused(served, path):
    """Two homeports that are each other's upstream do not keep each other busy."""
    headers = {"x-homeport-hops": str(MOST_HOPS)}
    status, _ = await served.json("POST", path, CHAT | {"stream": False}, headers=headers)
    assert status == 200
    assert served.scripted.asked[-1].terms.hops == MOST_HOPS
    headers = {"x-homeport-hops": str(MOST_HOPS + 1)}
    status, answer = await served.json("POST", path, CHAT, headers=headers)
    assert status == 400
    assert "went through 4 homeports, at most 3" in str(answer)
    assert len(served.scripted.asked) == 1


@pytest.mark.parametrize("text", ["-1", "1.5", "many", "", "9" * 50])
def test_what_is_no_count_is_refused(text):
    """A proxy that mangles the header is found out."""
    with pytest.raises(InvalidRequestError, match="x-homeport-hops"):
        read_hops({"x-homeport-hops": text})


def test_client_made_no_hop():
    """Without the header nobody passed it on."""
    assert read_hops({}) == 0
