"""Kernels on single vectors, of every instruction set that runs here, beside numpy in float64."""

import ctypes
import math

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

AVX2, AVX2_VNNI, AVX512 = 1, 2, 3
SILU, GELU_TANH = 0, 1

sizes = st.integers(1, 300) | st.sampled_from([576, 1024, 2048, 5632])
seeds = st.integers(0, 2**32 - 1)


@attrs.frozen
class Native:
    """The kernels of one instruction set."""

    library: ctypes.CDLL
    isa: int

    def call(self, name, *arguments):
        """Call a test function; arrays must be contiguous and are passed by address."""
        given = [to_native(argument) for argument in arguments]
        assert getattr(self.library, f"hp_test_{name}")(self.isa, *given) == 0


def to_native(argument):
    """Give what ctypes passes for an argument."""
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return ctypes.c_void_p(argument.ctypes.data)
    return ctypes.c_float(argument) if isinstance(argument, float) else ctypes.c_int32(argument)


@pytest.fixture(scope="module", params=[AVX2, AVX2_VNNI, AVX512], ids=["avx2", "avx2_vnni", "avx512"])
def native(library_file, request) -> Native:
    found = Native(ctypes.CDLL(str(library_file)), request.param)
    if not found.library.hp_runs_here(request.param):
        pytest.skip("this CPU or this build does not have the instruction set")
    return found


def normal(seed, *shape, scale=1.0):
    """Draw floats."""
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def sigmoid(values):
    """Give the logistic function, without overflow."""
    return np.exp(-np.logaddexp(0, -values))


@settings(deadline=None)
@given(size=sizes, seed=seeds, scale=st.sampled_from([1e-6, 1.0, 1e6]))
def test_rms_norm_divides_by_the_root_of_the_mean_square(native, size, seed, scale):
    """A vector comes out with unit mean square, times the weights."""
    values, weight = normal(seed, size, scale=scale), normal(seed + 1, size)
    out = np.empty_like(values)
    native.call("rms_norm", values, weight, size, 1e-6, out)
    wide = values.astype(np.float64)
    expected = wide / np.sqrt(np.mean(wide**2) + np.float32(1e-6)) * weight
    np.testing.assert_allclose(out, expected, rtol=2e-6, atol=0)


def test_rms_norm_may_write_over_its_input(native):
    """In place gives the same bits as beside."""
    values, weight = normal(1, 577), normal(2, 577)
    beside = np.empty_like(values)
    native.call("rms_norm", values, weight, 577, 1e-5, beside)
    native.call("rms_norm", values, weight, 577, 1e-5, values)
    np.testing.assert_array_equal(values, beside)


def test_rms_norm_of_zeros_is_zero(native):
    """Nothing is divided by zero."""
    zeros = np.zeros(37, np.float32)
    native.call("rms_norm", zeros, np.ones(37, np.float32), 37, 1e-6, zeros)
    np.testing.assert_array_equal(zeros, 0)


@settings(deadline=None)
@given(half=st.integers(1, 130), rest=st.integers(0, 20), seed=seeds)
def test_rotate_turns_components_with_those_half_a_rotary_away(native, half, rest, seed):
    """Component i and i + rotary_dim / 2 are one point of a plane; components behind stay."""
    head = normal(seed, 2 * half + rest)
    angle = np.random.default_rng(seed).uniform(-4, 4, half)
    table = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    turned = head.copy()
    native.call("rotate", turned, table, 2 * half)
    near, far = head[:half].astype(np.float64), head[half : 2 * half].astype(np.float64)
    cosine, sine = table.T
    np.testing.assert_allclose(turned[:half], near * cosine - far * sine, atol=1e-6)
    np.testing.assert_allclose(turned[half : 2 * half], far * cosine + near * sine, atol=1e-6)
    np.testing.assert_array_equal(turned[2 * half :], head[2 * half :])


def activated(values, activation):
    """Give an activation in float64."""
    wide = values.astype(np.float64)
    if activation == SILU:
        return wide * sigmoid(wide)
    return 0.5 * wide * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))


@pytest.mark.parametrize("activation", [SILU, GELU_TANH])
@settings(deadline=None)
@given(size=sizes, seed=seeds, scale=st.sampled_from([1e-3, 1.0, 10.0]))
def test_gate_multiplies_the_activation(native, activation, size, seed, scale):
    """Gate becomes activation(gate) * up."""
    gate, up = normal(seed, size, scale=scale), normal(seed + 1, size)
    result = gate.copy()
    native.call("gate", result, up, size, activation)
    expected = activated(gate, activation) * up
    np.testing.assert_allclose(result, expected, rtol=5e-6, atol=1e-6)


@pytest.mark.parametrize("activation", [SILU, GELU_TANH])
def test_gate_of_extreme_values_is_the_limit(native, activation):
    """Far from zero an activation is its input or next to nothing, never a NaN."""
    gate = np.array([-1e30, -1e10, -200, -88.8, -0.0, 0.0, 1e-40, 88.8, 200, 1e10, 1e30], np.float32)
    result = gate.copy()
    native.call("gate", result, np.ones_like(gate), gate.size, activation)
    np.testing.assert_allclose(result, np.maximum(gate, 0), rtol=1e-6, atol=1e-6)


def test_gate_hands_on_what_is_not_a_number(native):
    """A NaN stays visible and touches no neighbour."""
    gate = np.array([1.0, math.nan, 2.0], np.float32)
    native.call("gate", gate, np.ones_like(gate), 3, SILU)
    assert np.isnan(gate).tolist() == [False, True, False]


@settings(deadline=None)
@given(size=sizes, seed=seeds)
def test_add_is_the_float_sum(native, size, seed):
    """Each element is rounded once."""
    values, others = normal(seed, size), normal(seed + 1, size)
    expected = values + others
    native.call("add", values, others, size)
    np.testing.assert_array_equal(values, expected)


@settings(deadline=None)
@given(
    size=sizes, seed=seeds, scale=st.sampled_from([1e-3, 10.0, 1e6]), cap=st.sampled_from([1.0, 30.0, 50.0])
)
def test_softcap_follows_the_hyperbolic_tangent(native, size, seed, scale, cap):
    """Values become cap * tanh(value / cap), never more than the cap."""
    values = normal(seed, size, scale=scale)
    capped = values.copy()
    native.call("softcap", capped, size, cap)
    np.testing.assert_allclose(capped, cap * np.tanh(values.astype(np.float64) / cap), atol=3e-7 * cap)
    assert np.abs(capped).max() <= cap


def test_softcap_hands_on_what_is_not_a_number(native):
    """A NaN does not become the cap, which would pass for a logit."""
    values = np.array([1.0, math.nan, -math.nan, math.inf, -math.inf] * 5, np.float32)
    native.call("softcap", values, values.size, 30.0)
    assert np.isnan(values).tolist() == [False, True, True, False, False] * 5
    np.testing.assert_array_equal(values[3:5], [30, -30])


@pytest.mark.parametrize("size", [1, 15, 16, 17, 31])
def test_nothing_is_written_past_the_end(native, size):
    """Elements behind the last stay as they are."""
    marker = np.float32(-7.25)
    for name, arguments in (("add", ()), ("gate", (SILU,))):
        values = np.full(size + 40, marker)
        native.call(name, values, np.ones(size, np.float32), size, *arguments)
        np.testing.assert_array_equal(values[size:], marker)
    values = np.full(size + 40, marker)
    native.call("rms_norm", values, np.ones(size, np.float32), size, 1e-6, values)
    np.testing.assert_array_equal(values[size:], marker)
