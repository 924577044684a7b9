"""Attention and its cache, of every instruction set that runs here, beside numpy in float64."""

import ctypes
import itertools
import math

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

AVX2, AVX2_VNNI, AVX512 = 1, 2, 3
F32, BF16 = 1, 2
BLOCK = 16
GARBAGE_BYTE = 0xFF  # as floats of either size: not a number

HEAD_DIMS = (2, 6, 16, 30, 64, 80, 96, 128, 256, 512)

kinds = st.sampled_from([F32, BF16])
seeds = st.integers(0, 2**32 - 1)


class NativeAttention(ctypes.Structure):
    """``HpTestAttention`` of testing.cpp."""

    _fields_ = (
        ("cache_kind", ctypes.c_int32),
        ("head_dim", ctypes.c_int32),
        ("query_heads", ctypes.c_int32),
        ("window", ctypes.c_int32),
        ("scale", ctypes.c_float),
        ("softcap", ctypes.c_float),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
    )


@attrs.frozen(kw_only=True)
class Shape:
    """Attention of the query heads that share one key head.

    Attributes:
        kind: How the cache holds numbers.
        heads: Query heads.
    """

    kind: int = BF16
    head_dim: int = 64
    heads: int = 1
    window: int = 0
    scale: float = 0.125
    softcap: float = 0.0


def shapes(head_dims=HEAD_DIMS, softcaps=(0.0,)):
    """Draw shapes."""
    return st.builds(
        Shape,
        kind=kinds,
        head_dim=st.sampled_from(head_dims),
        heads=st.integers(1, 9),
        window=st.sampled_from([0, 0, 1, 5, 16, 17, 128, 150]),
        scale=st.sampled_from([0.05, 0.2]),
        softcap=st.sampled_from(softcaps),
    )


class Head:
    """One key head of a slot; its cache is full of NaN where nobody wrote."""

    def __init__(self, library: ctypes.CDLL, isa: int, shape: Shape, context: int) -> None:
        self.library = library
        self.isa = isa
        self.shape = shape
        for function in (library.hp_test_key_bytes, library.hp_test_value_bytes):
            function.restype = ctypes.c_int64
        whole = -(-context // BLOCK) * BLOCK
        self.key_memory = self._memory(library.hp_test_key_bytes(shape.kind, shape.head_dim, context))
        self.value_memory = self._memory(library.hp_test_value_bytes(shape.kind, shape.head_dim, whole))
        self.native = NativeAttention(
            cache_kind=shape.kind,
            head_dim=shape.head_dim,
            query_heads=shape.heads,
            window=shape.window,
            scale=shape.scale,
            softcap=shape.softcap,
            keys=self.key_memory.ctypes.data,
            values=self.value_memory.ctypes.data,
        )

    @staticmethod
    def _memory(count: int) -> np.ndarray:
        return np.full(count, GARBAGE_BYTE, np.uint8)

    def write(self, start, keys, values):
        """Write keys and values [positions, head_dim]."""
        keys, values = np.ascontiguousarray(keys), np.ascontiguousarray(values)
        done = self.library.hp_test_cache_write(
            self.isa,
            ctypes.byref(self.native),
            start,
            len(keys),
            keys.ctypes.data_as(ctypes.c_void_p),
            values.ctypes.data_as(ctypes.c_void_p),
        )
        assert done == 0

    def attend(self, start, queries, heads=None):
        """Attend with queries [tokens, heads, head_dim], of which some heads only."""
        first, last = heads or (0, self.shape.heads)
        tokens, all_heads, head_dim = queries.shape
        stride = all_heads * head_dim
        output = np.full((tokens, all_heads, head_dim), -7.25, np.float32)
        offset = first * head_dim * queries.itemsize
        self.native.query_heads = last - first
        done = self.library.hp_test_attend(
            self.isa,
            ctypes.byref(self.native),
            start,
            tokens,
            ctypes.c_void_p(queries.ctypes.data + offset),
            ctypes.c_int64(stride),
            ctypes.c_void_p(output.ctypes.data + offset),
            ctypes.c_int64(stride),
        )
        assert done == 0
        assert (output[:, :first] == -7.25).all()
        assert (output[:, last:] == -7.25).all()
        return output[:, first:last]

    def stored(self):
        """Read keys and values [positions, head_dim] back, by the layout that cache.hpp documents."""
        head_dim = self.shape.head_dim
        padded = -(-head_dim // BLOCK) * BLOCK
        if self.shape.kind == F32:
            keys = self.key_memory.view(np.float32).reshape(-1, head_dim, BLOCK).swapaxes(1, 2)
            values = self.value_memory.view(np.float32)
        else:
            keys = widened(self.key_memory).reshape(-1, head_dim // 2, BLOCK, 2).transpose(0, 2, 1, 3)
            values = widened(self.value_memory)
        return keys.reshape(-1, head_dim), values.reshape(-1, padded)[:, :head_dim]


def widened(memory):
    """Give the floats that bytes of bfloat16 stand for."""
    return (memory.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def rounded(values):
    """Give the nearest bfloat16 as float, the even one of two that are as near."""
    low = (values.view(np.uint32) & 0xFFFF0000).view(np.float32)
    high = ((values.view(np.uint32) & 0xFFFF0000) + 0x10000).view(np.float32)
    wide = values.astype(np.float64)
    above, below = np.abs(high.astype(np.float64) - wide), np.abs(wide - low.astype(np.float64))
    low_is_even = (low.view(np.uint32) & 0x10000) == 0
    return np.where((below < above) | ((below == above) & low_is_even), low, high)


@pytest.fixture(scope="module", params=[AVX2, AVX2_VNNI, AVX512], ids=["avx2", "avx2_vnni", "avx512"])
def build(library_file, request):
    """Make the cache of a head."""
    library = ctypes.CDLL(str(library_file))
    if not library.hp_runs_here(request.param):
        pytest.skip("this CPU or this build does not have the instruction set")
    return lambda shape, context: Head(library, request.param, shape, context)


def normal(seed, *shape):
    """Draw floats."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def expected(shape, start, queries, keys, values):
    """Compute attention in float64 from keys and values [positions, head_dim]."""
    out = np.empty(queries.shape)
    for token in range(len(queries)):
        end = start + token + 1
        begin = max(0, end - shape.window) if shape.window else 0
        seen = keys[begin:end].astype(np.float64)
        scores = queries[token].astype(np.float64) @ seen.T * shape.scale
        if shape.softcap:
            scores = shape.softcap * np.tanh(scores / shape.softcap)
        weights = np.exp(scores - scores.max(1, keepdims=True))
        out[token] = weights / weights.sum(1, keepdims=True) @ values[begin:end].astype(np.float64)
    return out


@settings(deadline=None)
@given(kind=kinds, head_dim=st.sampled_from(HEAD_DIMS), position=st.integers(0, 40), seed=seeds)
def test_cache_holds_what_was_written(build, kind, head_dim, position, seed):
    """Key and value lie where cache.hpp says, floats exact and bfloat16 to nearest even; neighbours stay."""
    head = build(Shape(kind=kind, head_dim=head_dim), 48)
    key, value = normal(seed, 1, head_dim), normal(seed + 1, 1, head_dim)
    head.write(position, key, value)
    for memory, written in zip(head.stored(), (key, value), strict=True):
        np.testing.assert_array_equal(memory[position], (rounded(written) if kind == BF16 else written)[0])
        assert np.isnan(np.delete(memory, position, 0)).all()


def test_cache_rounds_ties_to_even_and_keeps_what_is_no_number(build):
    """Halves go to the even neighbour; infinity and NaN stay what they are."""
    bits = [0x3F808000, 0x3F818000, 0x3F808001, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7F800001, 0xFFFFFFFF]
    written = np.array([bits], np.uint32).view(np.float32)
    head = build(Shape(head_dim=8), 16)
    head.write(0, written, written)
    for memory in head.stored():
        assert memory[0, :6].tolist() == [1.0, 1.015625, 1.0078125, math.inf, math.inf, -math.inf]
        assert np.isnan(memory[0, 6:]).all()


@settings(max_examples=60, deadline=None)
@given(
    shape=shapes(softcaps=(0.0, 2.0, 50.0)),
    start=st.integers(0, 300),
    tokens=st.integers(1, 20),
    seed=seeds,
)
def test_attention_agrees_with_the_definition(build, shape, start, tokens, seed):
    """Causal, windowed and capped softmax attention, whatever lies behind the end of the sequence."""
    length = start + tokens
    head = build(shape, length + 3)
    head.write(0, normal(seed, length, shape.head_dim), normal(seed + 1, length, shape.head_dim))
    queries = normal(seed + 2, tokens, shape.heads, shape.head_dim)
    reference = expected(shape, start, queries, *head.stored())
    np.testing.assert_allclose(head.attend(start, queries), reference, atol=5e-5)


@settings(max_examples=40, deadline=None)
@given(
    shape=shapes(head_dims=(6, 64, 80)),
    start=st.integers(0, 300),
    tokens=st.integers(2, 33),
    data=st.data(),
)
def test_a_query_does_not_notice_its_neighbours(build, shape, start, tokens, data):
    """The output of a token and head is the same to the bit alone and in a crowd."""
    length = start + tokens
    head = build(shape, length)
    head.write(0, normal(1, length, shape.head_dim), normal(2, length, shape.head_dim))
    queries = normal(3, tokens, shape.heads, shape.head_dim)
    together = head.attend(start, queries)
    token = data.draw(st.integers(0, tokens - 1))
    first = data.draw(st.integers(0, shape.heads - 1))
    last = data.draw(st.integers(first + 1, shape.heads))
    alone = head.attend(start + token, queries[token : token + 1], (first, last))
    np.testing.assert_array_equal(alone[0], together[token, first:last])


@settings(max_examples=25, deadline=None)
@given(
    shape=shapes(head_dims=(64,)),
    cuts=st.lists(st.integers(1, 299), max_size=6, unique=True),
)
def test_a_prompt_may_be_cut_anywhere(build, shape, cuts):
    """Computed in pieces, each before later keys exist, a prompt comes out the same to the bit."""
    length = 300
    keys, values = normal(1, length, 64), normal(2, length, 64)
    queries = normal(3, length, shape.heads, 64)
    whole = build(shape, length)
    whole.write(0, keys, values)
    pieces = build(shape, length)
    parts = []
    for begin, end in itertools.pairwise([0, *sorted(cuts), length]):
        pieces.write(begin, keys[begin:end], values[begin:end])
        parts.append(pieces.attend(begin, queries[begin:end]))
    np.testing.assert_array_equal(np.concatenate(parts), whole.attend(0, queries))


@pytest.mark.parametrize("kind", [F32, BF16])
@pytest.mark.parametrize("heads", [1, 3])
def test_a_token_does_not_see_the_future(build, kind, heads):
    """Infinities and NaN of later tokens of the same step leave earlier ones untouched."""
    keys, values = normal(1, 140, 64), normal(2, 140, 64)
    queries = normal(3, 12, heads, 64)
    head = build(Shape(kind=kind, heads=heads), 140)
    head.write(0, keys, values)
    clean = head.attend(128, queries)
    keys[134:], values[134:] = math.nan, math.inf
    head.write(0, keys, values)
    np.testing.assert_array_equal(head.attend(128, queries)[:6], clean[:6])


@pytest.mark.parametrize("kind", [F32, BF16])
@pytest.mark.parametrize("window", [1, 20, 100])
def test_a_token_does_not_see_what_left_its_window(build, kind, window):
    """Memory before the window may hold anything."""
    keys, values = normal(1, 300, 64), normal(2, 300, 64)
    queries = normal(3, 9, 2, 64)
    head = build(Shape(kind=kind, heads=2, window=window), 300)
    head.write(0, keys, values)
    clean = head.attend(291, queries)
    head = build(Shape(kind=kind, heads=2, window=window), 300)
    head.write(292 - window, keys[292 - window :], values[292 - window :])
    np.testing.assert_array_equal(head.attend(291, queries), clean)


@pytest.mark.parametrize("kind", [F32, BF16])
@pytest.mark.parametrize(("size", "error"), [(1e-30, 1e-6), (1.0, 1e-5), (300.0, 3e-3), (1e15, 0)])
def test_attention_survives_scores_of_any_size(build, kind, size, error):
    """Tiny scores weigh all alike, huge ones pick the greatest; nothing overflows."""
    head = build(Shape(kind=kind, scale=1.0), 200)
    keys = normal(1, 200, 64) * np.float32(size)
    head.write(0, keys, normal(2, 200, 64))
    queries = normal(3, 1, 1, 64) * np.float32(size)
    reference = expected(head.shape, 199, queries, *head.stored())
    np.testing.assert_allclose(head.attend(199, queries), reference, rtol=1e-6, atol=error)


@pytest.mark.parametrize("kind", [F32, BF16])
@pytest.mark.parametrize("slope", [-1.5, -0.01, 0.01, 0.03, 1.5])
def test_scores_may_rise_or_fall_along_the_sequence(build, kind, slope):
    """The greatest score may come first, last, or slowly from block to block."""
    head = build(Shape(kind=kind, scale=1.0), 600)
    keys = np.repeat(np.arange(600)[:, None] * slope / 64, 64, 1).astype(np.float32)
    head.write(0, keys, normal(2, 600, 64))
    queries = np.ones((1, 1, 64), np.float32)
    reference = expected(head.shape, 599, queries, *head.stored())
    np.testing.assert_allclose(head.attend(599, queries), reference, atol=1e-3)


def test_attention_of_huge_values_stays_finite(build):
    """A mean of large numbers is no sum of large numbers."""
    head = build(Shape(kind=F32, head_dim=16), 256)
    head.write(0, np.zeros((256, 16), np.float32), np.full((256, 16), 1e36, np.float32))
    np.testing.assert_allclose(head.attend(255, normal(3, 1, 1, 16)), np.float32(1e36), rtol=1e-5)


def test_a_first_token_gets_its_own_value(build):
    """Where a token sees only itself, its value comes out."""
    head = build(Shape(kind=F32, heads=4), 16)
    value = normal(2, 1, 64)
    head.write(0, normal(1, 1, 64), value)
    out = head.attend(0, normal(3, 1, 4, 64))
    np.testing.assert_allclose(out[0], np.repeat(value, 4, 0), rtol=1e-6)


@pytest.mark.parametrize("kind", [F32, BF16])
@pytest.mark.parametrize("place", [0, 5, 40, 299])
@pytest.mark.parametrize("softcap", [0.0, 30.0])
def test_a_key_that_is_not_a_number_is_not_passed_over(build, kind, place, softcap):
    """Whoever sees it gets NaN: the fault has to reach the logits. Tokens before it do not."""
    head = build(Shape(kind=kind, head_dim=16, softcap=softcap), 300)
    keys, values, queries = normal(1, 300, 16), normal(2, 300, 16), normal(3, 300, 1, 16)
    keys[place, 3] = math.nan
    head.write(0, keys, values)

    output = head.attend(0, queries)

    assert np.isfinite(output[:place]).all()
    assert np.isnan(output[place:]).all()
