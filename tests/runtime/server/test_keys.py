"""Keys of a running server: noticed at once, compared in full, and never opened by damage."""

import asyncio
import hmac

import attrs
import pytest

from homeport.config.settings import ServerSettings
from homeport.server import keys
from homeport.server.key_file import FILE_NAME, KeyFile
from homeport.server.keys import KeyRing
from homeport.server.scopes import GRANTABLE, Scope


@pytest.fixture
def file(settings):
    return KeyFile(settings.home / FILE_NAME)


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


async def status_of(served, key, path="/api/tags"):
    async with served.http.get(path, headers=bearer(key)) as response:
        return response.status


async def scopes_of(ring, key):
    caller = await ring.caller(bearer(key))
    return None if caller is None else caller.scopes


async def test_a_key_opens_what_it_was_made_for(file):
    """Scopes are those of the file; admin has all, and the key of the settings is one for admins."""
    made = {scope: file.create(scope.value, {scope}).secret for scope in GRANTABLE}
    ring = await KeyRing.load("from-settings", file)
    assert await scopes_of(ring, made[Scope.INFER]) == {Scope.INFER}
    assert await scopes_of(ring, made[Scope.MONITOR]) == {Scope.MONITOR}
    assert await scopes_of(ring, made[Scope.ADMIN]) == set(GRANTABLE)
    assert await scopes_of(ring, "from-settings") == set(GRANTABLE)
    assert await scopes_of(ring, "hp-wrong") is None


async def test_every_key_has_an_owner_of_its_own(file):
    """Budgets, limits and caches tell keys apart, and an owner tells nothing of the key."""
    secrets = [file.create(name, {Scope.INFER}).secret for name in "abc"]
    ring = await KeyRing.load("from-settings", file)
    owners = [(await ring.caller(bearer(key))).owner for key in (*secrets, "from-settings")]
    assert len(set(owners)) == 4
    assert not any(secret[3:] in owner for owner in owners for secret in secrets)


async def test_a_known_key_compares_with_all_like_an_unknown_one(file, monkeypatch):
    """How long the check takes does not tell which key was near, or where in the file it stands."""
    secrets = [file.create(name, {Scope.INFER}).secret for name in "abc"]
    ring = await KeyRing.load(None, file)
    compared = []

    def compare(one, other):
        compared.append(other)
        return hmac.compare_digest(one, other)

    class Watched:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(keys, "hmac", Watched)
    for key in (*secrets, "hp-wrong", ""):
        compared.clear()
        await ring.caller({"x-api-key": key})
        assert len(set(compared)) == 3


async def test_changes_count_from_the_next_request_on(settings, serving, file):
    """A new key works and a revoked one is out without a restart."""
    first = file.create("first", {Scope.INFER}).secret
    async with serving(settings) as served:
        assert await status_of(served, first) == 200
        second = (await asyncio.to_thread(file.create, "second", {Scope.INFER})).secret
        assert await status_of(served, second) == 200
        await asyncio.to_thread(file.revoke, "first")
        assert await status_of(served, first) == 401
        assert await status_of(served, second) == 200


async def test_the_first_key_closes_an_open_server(settings, serving, file):
    """Without keys everybody on this machine is let in; from the first key on, nobody without one."""
    async with serving(settings) as served:
        assert await status_of(served, "any") == 200
        key = (await asyncio.to_thread(file.create, "first", {Scope.INFER})).secret
        assert await status_of(served, "any") == 401
        assert await status_of(served, key) == 200


@pytest.mark.parametrize("end", ["revoked", "deleted"])
async def test_the_end_of_the_last_key_opens_nothing(settings, serving, file, end):
    """A server that needed a key needs one until it ends, whatever becomes of the file."""
    key = file.create("only", {Scope.INFER}).secret
    async with serving(settings) as served:
        if end == "revoked":
            await asyncio.to_thread(file.revoke, "only")
        else:
            (settings.home / FILE_NAME).unlink()
        assert await status_of(served, key) == 401
        assert await status_of(served, "") == 401


async def test_damage_changes_nothing_for_a_running_server(settings, serving, file):
    """Keys stay as they were until the file can be read again."""
    key = file.create("first", {Scope.INFER}).secret
    path = settings.home / FILE_NAME
    whole = path.read_bytes()
    async with serving(settings) as served:
        path.write_bytes(b"{")
        assert await status_of(served, key) == 200
        assert await status_of(served, "wrong") == 401
        path.write_bytes(whole)
        await asyncio.to_thread(file.revoke, "first")
        assert await status_of(served, key) == 401


async def test_a_key_of_the_settings_and_one_of_the_file_stand_side_by_side(settings, serving, file):
    """Either is let in."""
    key = file.create("first", {Scope.INFER}).secret
    async with serving(attrs.evolve(settings, server=ServerSettings(api_key="own"))) as served:
        assert await status_of(served, "own") == 200
        assert await status_of(served, key) == 200
        assert await status_of(served, "own", "/v1/plugins") == 200
        assert await status_of(served, key, "/v1/plugins") == 403
