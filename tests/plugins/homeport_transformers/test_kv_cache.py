"""The cache's memory becomes real only where tokens are written."""

from pathlib import Path

import pytest
import torch

from homeport import LoadError
from homeport_transformers.kv_cache import KvCache, KvShape

MEBIBYTE = 1024**2


def shape(**sizes):
    small = {
        "layers": 2,
        "slots": 3,
        "kv_heads": 2,
        "context_length": 8,
        "head_dim": 4,
        "dtype": torch.float32,
    }
    return KvShape(**small | sizes)


def resident_bytes():
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_room_costs_nothing_until_it_is_used(dtype):
    """A gigabyte of slots stays out of memory; one token per slot makes a few pages real."""
    big = shape(layers=16, slots=8, kv_heads=4, context_length=4096, head_dim=64, dtype=dtype)
    assert big.bytes_per_token * big.slots * big.context_length >= 512 * MEBIBYTE
    before = resident_bytes()

    cache = KvCache(big)
    places = cache.places(torch.arange(8), torch.zeros(8, dtype=torch.int64))
    for layer in range(16):
        cache.write(layer, places, torch.ones(8, 8, 64, dtype=dtype))

    assert resident_bytes() - before < 32 * MEBIBYTE


def test_unwritten_places_read_as_zero():
    """What nobody wrote is zero, so a masked softmax meets no NaN."""
    keys, values = KvCache(shape()).read(1, slice(0, 3), 8)

    assert not keys.any()
    assert not values.any()


def test_states_are_found_where_they_were_written():
    """Keys and values of each token come back from its slot and position, and nowhere else."""
    cache = KvCache(shape())
    states = torch.arange(2 * 4 * 4).float().view(2, 4, 4) + 1

    cache.write(1, cache.places(torch.tensor([2, 0]), torch.tensor([5, 7])), states)

    keys, values = cache.read(1, slice(0, 3), 8)
    assert torch.equal(keys[2, :, 5], states[0, :2])
    assert torch.equal(values[0, :, 7], states[1, 2:])
    assert (keys != 0).any(-1).sum() == 4
    assert not cache.read(0, slice(0, 3), 8)[0].any()


def test_a_prefix_is_copied_in_all_layers():
    """The first tokens of a slot appear in another, the rest stays."""
    cache = KvCache(shape())
    positions = torch.arange(6)
    for layer in range(2):
        cache.write(layer, cache.places(torch.zeros(6, dtype=torch.int64), positions), torch.randn(6, 4, 4))

    cache.copy_prefix(0, 2, 4)

    for layer in range(2):
        for states in cache.read(layer, slice(0, 3), 8):
            assert torch.equal(states[2, :, :4], states[0, :, :4])
            assert not states[2, :, 4:].any()


@pytest.mark.parametrize(("length", "left_bytes"), [(0, 0), (1024, 4 * MEBIBYTE)])
def test_released_tokens_give_their_memory_back(length, left_bytes):
    """What a slot held behind its first tokens is memory of the system again, and reads as zero."""
    cache = KvCache(shape(layers=4, kv_heads=4, context_length=4096, head_dim=32))
    positions = torch.arange(4096)
    for slot in (1, 2):
        places = cache.places(torch.full_like(positions, slot), positions)
        for layer in range(4):
            cache.write(layer, places, torch.ones(4096, 8, 32))
    full_bytes = 4 * 8 * 4096 * 32 * 4
    before = resident_bytes()

    cache.release(1, length)

    freed_bytes = before - resident_bytes()
    assert abs(freed_bytes - (full_bytes - left_bytes)) < MEBIBYTE
    for layer in range(4):
        for states in cache.read(layer, slice(0, 3), 4096):
            assert states[1, :, :length].all()
            assert not states[1, :, length:].any()
            assert states[2].all()


def test_memory_that_is_not_there_is_a_load_error():
    """A cache no machine can hold names its size and the settings to lower."""
    with pytest.raises(LoadError, match=r"no memory for a key-value cache of .* context_length"):
        KvCache(shape(slots=2**40, context_length=2**20))
