import aiohttp
import pytest

from homeport.testing.raw_server import Move, RawServer, chunk, head, whole


async def test_scripts_are_played_in_turn_and_requests_remembered():
    """The last script of a route is played again and again; a route without one is a 404."""
    async with RawServer.listening() as server, aiohttp.ClientSession(server.url) as http:
        server.play("POST", "/x", [whole({"n": 1})], [head(), chunk(b"a"), chunk(b"b"), chunk(b"")])
        said = []
        for _ in range(3):
            async with http.post("/x", json={"q": 1}, headers={"X-A": "b"}) as response:
                said.append(await response.text())
        async with http.get("/y") as response:
            assert response.status == 404
    assert said == ['{"n": 1}', "ab", "ab"]
    assert [(asked.method, asked.path) for asked in server.asked] == [("POST", "/x")] * 3 + [("GET", "/y")]
    assert server.asked[0].body == {"q": 1}
    assert server.asked[0].headers["x-a"] == "b"
    assert server.connections == 1


@pytest.mark.parametrize("move", [Move.CLOSE, Move.RESET])
async def test_connection_breaks_where_the_script_says(move):
    """A client sees an answer that is cut."""
    async with RawServer.listening() as server, aiohttp.ClientSession(server.url) as http:
        server.play("GET", "/x", [head(), chunk(b"a"), move])
        with pytest.raises(aiohttp.ClientError):
            async with http.get("/x") as response:
                await response.text()


async def test_server_that_hangs_notices_a_client_that_leaves():
    """A test can wait for it."""
    async with RawServer.listening() as server:
        server.play("GET", "/x", [head(), Move.HANG])
        async with aiohttp.ClientSession(server.url) as http, http.get("/x"):
            assert not server.left.is_set()
        await server.left.wait()
