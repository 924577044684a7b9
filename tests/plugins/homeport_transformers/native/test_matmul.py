"""Matrix products of every instruction set that runs here, beside numpy in float64."""

import ctypes

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.weights import PackedMatrix, PlainCodes, WeightKind, quantise_q4, quantise_q8
from homeport_transformers.native_library import Isa, Kind, Matrix

STRIP_ROWS = 16
LARGEST_CODE = 127
ROUNDING = 2.0**-24
"""Relative error of one float32 operation."""
LEAST_MAGNITUDE = 2.0**-100
"""Groups of inputs below it are taken for zero."""
CANARY = np.float32(12345.0)

PACKED = {Kind.Q8: WeightKind.Q8, Kind.Q4: WeightKind.Q4, Kind.Q4_MIN: WeightKind.Q4_MIN}
TESTED = (Isa.AVX2, Isa.AVX2_VNNI, Isa.AVX512, Isa.AMX)

seeds = st.integers(0, 2**32 - 1)
input_rows = st.integers(1, 35)


class Product(ctypes.Structure):
    """``HpTestProduct``."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("values", "bf16", "codes", "scales", "sums", "bias", "out")),
        ("stride", ctypes.c_int64),
        *((name, ctypes.c_int32) for name in ("rows", "accumulate", "begin", "end")),
    )


@attrs.frozen(kw_only=True, eq=False)
class Weights:
    """A matrix as the library sees it, and as numbers.

    Attributes:
        kind: How it is stored.
        rows: Outputs.
        cols: Inputs.
        group: Columns that share a scale; 0 for float matrices.
        arrays: What the pointers of ``HpMatrix`` point to: codes, scales, mins.
        plain: Of a packed matrix, by rows and columns.
        values: float64 [rows, cols].
    """

    kind: Kind
    rows: int
    cols: int
    group: int
    arrays: tuple
    plain: PlainCodes | None
    values: np.ndarray

    @property
    def native(self) -> Matrix:
        """``HpMatrix``."""
        pointers = [None if array is None else array.ctypes.data for array in self.arrays]
        return Matrix(self.kind, self.rows, self.cols, self.group, *pointers)

    @property
    def strips(self) -> int:
        """How many strips its rows make."""
        return -(-self.rows // STRIP_ROWS)


@attrs.frozen(kw_only=True, eq=False)
class Inputs:
    """Rows in all forms that products read.

    Attributes:
        values: float32 [rows, cols].
        bf16: uint16 [rows, cols].
        codes: int8 [rows, cols].
        scales: float32 [rows, cols / group].
        sums: int32 [rows, cols / group].
    """

    values: np.ndarray
    bf16: np.ndarray
    codes: np.ndarray
    scales: np.ndarray
    sums: np.ndarray

    def part(self, rows: slice) -> "Inputs":
        """Take some rows."""
        return Inputs(**{name: array[rows] for name, array in attrs.asdict(self).items()})


@attrs.frozen
class Native:
    """The kernels of one instruction set."""

    library: ctypes.CDLL
    isa: Isa

    def inputs(self, values, group) -> Inputs:
        """Bring rows into all forms."""
        rows, cols = values.shape
        places = (rows, cols // group if group else 0)
        made = Inputs(
            values=np.ascontiguousarray(values),
            bf16=np.zeros((rows, cols), np.uint16),
            codes=np.full((rows, cols), 99, np.int8),
            scales=np.zeros(places, np.float32),
            sums=np.zeros(places, np.int32),
        )
        for row in range(rows):
            self.call("to_bf16", made.values[row], cols, made.bf16[row])
            if group:
                places = made.codes[row], made.scales[row], made.sums[row]
                self.call("quantise", made.values[row], cols, group, *places)
        return made

    def multiply(self, weights, inputs, *, bias=None, out=None, strips=None) -> np.ndarray:
        """Multiply rows with a matrix; adds to ``out`` where it is given."""
        rows = len(inputs.values)
        result = np.full((rows, weights.rows + 3), CANARY) if out is None else out
        product = Product(
            **{name: array.ctypes.data for name, array in attrs.asdict(inputs).items()},
            bias=None if bias is None else bias.ctypes.data,
            out=result.ctypes.data,
            stride=result.shape[1],
            rows=rows,
            accumulate=out is not None,
            begin=strips[0] if strips else 0,
            end=strips[1] if strips else weights.strips,
        )
        self.call("matmul", ctypes.byref(weights.native), ctypes.byref(product))
        assert (result[:, weights.rows :] == CANARY).all()
        return result[:, : weights.rows]

    def product(self, weights, values) -> np.ndarray:
        """Multiply float rows with a matrix."""
        return self.multiply(weights, self.inputs(values, weights.group))

    def call(self, name, *arguments):
        """Call a test function; arrays must be contiguous and are passed by address."""
        function = getattr(self.library, f"hp_test_{name}")
        given = [
            ctypes.c_void_p(argument.ctypes.data) if isinstance(argument, np.ndarray) else argument
            for argument in arguments
        ]
        assert function(ctypes.c_int32(self.isa), *given) == 0


@pytest.fixture(scope="module", params=TESTED, ids=lambda isa: isa.name.lower())
def native(library, request) -> Native:
    if library.hp_test_multiplies(request.param) != 0:
        pytest.skip("this CPU or this build does not have the instruction set")
    return Native(library, request.param)


@pytest.fixture(scope="module")
def natives(library) -> list[Native]:
    return [Native(library, isa) for isa in TESTED if library.hp_test_multiplies(isa) == 0]


def normal(seed, *shape, scale=1.0):
    """Draw floats."""
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def from_bf16(halves):
    """Give bfloat16 as float32."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def packed_weights(kind, rows, cols, group, seed, *, scale=0.01) -> Weights:
    """Draw a packed matrix: any codes, and scales of both signs."""
    random = np.random.default_rng(seed)
    shape = (rows, cols // group)
    plain = PlainCodes(
        codes=random.integers(0, 256 if kind is Kind.Q8 else 16, (rows, cols), np.uint8),
        scales=(random.standard_normal(shape) * scale).astype(np.float16),
        mins=(random.standard_normal(shape) * scale).astype(np.float16) if kind is Kind.Q4_MIN else None,
    )
    packed = PackedMatrix.pack(PACKED[kind], plain)
    return weights_of(kind, packed, plain)


def weights_of(kind, packed, plain) -> Weights:
    """Give a packed matrix to the library."""
    return Weights(
        kind=kind,
        rows=packed.rows,
        cols=packed.cols,
        group=packed.group,
        arrays=tuple(
            None if array is None else np.ascontiguousarray(array)
            for array in (packed.codes, packed.scales, packed.mins)
        ),
        plain=plain,
        values=packed.dequantise().astype(np.float64),
    )


def float_weights(kind, rows, cols, seed) -> Weights:
    """Draw a float matrix."""
    values = normal(seed, rows, cols)
    stored = values if kind is Kind.F32 else (values.view(np.uint32) >> 16).astype(np.uint16)
    exact = values if kind is Kind.F32 else from_bf16(stored)
    return Weights(
        kind=kind,
        rows=rows,
        cols=cols,
        group=0,
        arrays=(stored, None, None),
        plain=None,
        values=exact.astype(np.float64),
    )


def any_weights(kind, rows, blocks, group, seed) -> Weights:
    """Draw a matrix of a kind; float matrices have a few columns more than whole groups."""
    if kind in PACKED:
        return packed_weights(kind, rows, blocks * group, group, seed)
    return float_weights(kind, rows, blocks * group + seed % group, seed)


def matrices(kinds=tuple(Kind), least_rows=1, most_blocks=9):
    """Matrices of some kinds, of up to 90 outputs."""
    return st.builds(
        any_weights,
        kind=st.sampled_from(kinds),
        rows=st.integers(least_rows, 90),
        blocks=st.integers(1, most_blocks),
        group=st.sampled_from([32, 64]),
        seed=seeds,
    )


def packed_terms(weights, inputs):
    """Give what a packed product sums up, from its own codes and scales: float64 [rows, outputs, terms]."""
    plain, kind = weights.plain, PACKED[weights.kind]
    count = weights.cols // weights.group
    codes = plain.codes.astype(np.float64).reshape(weights.rows, count, -1) - kind.offset
    given = inputs.codes.astype(np.float64).reshape(len(inputs.codes), count, -1)
    scales = plain.scales.astype(np.float64) * inputs.scales.astype(np.float64)[:, None]
    terms = np.einsum("mgi,ngi->mng", given, codes) * scales
    if plain.mins is None:
        return terms
    sums = (inputs.scales.astype(np.float64) * inputs.sums)[:, None]
    return np.concatenate([terms, plain.mins.astype(np.float64) * sums], axis=2)


def float_terms(weights, inputs):
    """Give what a float product sums up: float64 [rows, outputs, columns]."""
    given = inputs.values if weights.kind is Kind.F32 else from_bf16(inputs.bf16)
    return given.astype(np.float64)[:, None] * weights.values


def assert_sums(result, terms):
    """Check sums of terms against all that rounding may do to them."""
    bound = (2 * terms.shape[2] + 4) * ROUNDING * np.abs(terms).sum(2) + 1e-30
    error = np.abs(result - terms.sum(2))
    assert (error <= bound).all(), (error / bound).max()


@given(weights=matrices(), count=input_rows, seed=seeds)
def test_products_are_sums_of_codes_times_scales(native, weights, count, seed):
    """Every output is the sum over groups or columns that the format says, but for rounding."""
    inputs = native.inputs(normal(seed, count, weights.cols), weights.group)
    terms = (packed_terms if weights.kind in PACKED else float_terms)(weights, inputs)
    assert_sums(native.multiply(weights, inputs), terms)


@settings(max_examples=20)
@given(
    kind=st.sampled_from([Kind.F32, Kind.BF16]), cols=st.integers(1, 80), rows=st.integers(1, 40), seed=seeds
)
def test_float_products_take_any_number_of_columns(native, kind, cols, rows, seed):
    """Columns that fill no vector count like all others."""
    weights = float_weights(kind, rows, cols, seed)
    inputs = native.inputs(normal(seed + 1, 3, cols), 0)
    assert_sums(native.multiply(weights, inputs), float_terms(weights, inputs))


@pytest.mark.parametrize("group", [32, 64])
@pytest.mark.parametrize("kind", PACKED, ids=lambda kind: kind.name)
@pytest.mark.parametrize(("code", "value"), [(0, 1.0), (15, -1.0), (255, 1.0), (0, -1.0), (255, -1.0)])
def test_extreme_codes_do_not_saturate(native, kind, group, code, value):
    """The largest codes and inputs of either sign give exact integer sums."""
    code = min(code, 255 if kind is Kind.Q8 else 15)
    shape = (17, 2 * group)
    ones = np.ones((17, 2), np.float16)
    plain = PlainCodes(np.full(shape, code, np.uint8), ones, ones if kind is Kind.Q4_MIN else None)
    weights = weights_of(kind, PackedMatrix.pack(PACKED[kind], plain), plain)
    result = native.product(weights, np.full((2, 2 * group), LARGEST_CODE * value, np.float32))
    expected = LARGEST_CODE * value * weights.values.sum(1)
    np.testing.assert_array_equal(result, np.tile(expected.astype(np.float32), (2, 1)))


@settings(max_examples=25)
@given(weights=matrices(most_blocks=5), seed=seeds)
def test_a_row_does_not_depend_on_the_rows_beside_it(native, weights, seed):
    """Each row has the same bits alone and in any crowd."""
    inputs = native.inputs(normal(seed, 40, weights.cols), weights.group)
    alone = np.concatenate([native.multiply(weights, inputs.part(slice(m, m + 1))) for m in range(40)])
    for count in [*range(2, 14), 16, 17, 31, 40]:
        crowd = native.multiply(weights, inputs.part(slice(0, count)))
        np.testing.assert_array_equal(crowd, alone[:count])


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
def test_many_rows_of_many_columns_are_as_each_alone(native, kind):
    """Cutting rows into blocks that fit the cache changes no bits."""
    weights = any_weights(kind, 37, 128, 64, 5)
    inputs = native.inputs(normal(6, 150, weights.cols), weights.group)
    crowd = native.multiply(weights, inputs)
    for row in (0, 1, 31, 32, 33, 74, 149):
        alone = native.multiply(weights, inputs.part(slice(row, row + 1)))
        np.testing.assert_array_equal(crowd[row : row + 1], alone)


@given(weights=matrices(tuple(PACKED)), count=input_rows, seed=seeds)
def test_packed_products_have_the_same_bits_everywhere(natives, weights, count, seed):
    """All instruction sets sum exact integers and scale them in one order."""
    values = normal(seed, count, weights.cols)
    results = [native.product(weights, values) for native in natives]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@settings(max_examples=25)
@given(weights=matrices(least_rows=17, most_blocks=3), count=input_rows, cut=st.integers(0, 6), seed=seeds)
def test_strips_are_computed_apart(native, weights, count, cut, seed):
    """Cut anywhere, the parts give the whole, and each writes its own outputs only."""
    inputs = native.inputs(normal(seed, count, weights.cols), weights.group)
    whole = native.multiply(weights, inputs)
    cut = min(cut, weights.strips)
    first = native.multiply(weights, inputs, strips=(0, cut))
    second = native.multiply(weights, inputs, strips=(cut, weights.strips))
    middle = min(STRIP_ROWS * cut, weights.rows)
    np.testing.assert_array_equal(np.concatenate([first[:, :middle], second[:, middle:]], axis=1), whole)
    assert (first[:, middle:] == CANARY).all()
    assert (second[:, :middle] == CANARY).all()


@settings(max_examples=25)
@given(weights=matrices(most_blocks=3), count=input_rows, seed=seeds)
def test_bias_and_what_is_there_are_added(native, weights, count, seed):
    """The target gets the product, plus the bias, plus what it held, rounded after each."""
    rows = weights.rows
    inputs = native.inputs(normal(seed, count, weights.cols), weights.group)
    product, bias, held = native.multiply(weights, inputs), normal(3, rows), normal(4, count, rows)
    biased = native.multiply(weights, inputs, bias=bias)
    np.testing.assert_array_equal(biased, product + bias)
    out = np.full((count, rows + 5), CANARY)
    out[:, :rows] = held
    native.multiply(weights, inputs, bias=bias, out=out)
    np.testing.assert_array_equal(out[:, :rows], held + (product + bias))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
def test_nan_and_infinity_stay_in_their_row(native, kind, bad):
    """A row that is not finite gives no finite output, and others keep their bits."""
    weights = any_weights(kind, 33, 3, 32, 8)
    values = normal(9, 13, weights.cols)
    clean = native.product(weights, values)
    values[7, 40] = bad
    spoilt = native.product(weights, values)
    assert not np.isfinite(spoilt[7]).any()
    if kind in PACKED:
        assert np.isnan(spoilt[7]).all()
    others = np.arange(13) != 7
    np.testing.assert_array_equal(spoilt[others], clean[others])


@pytest.mark.parametrize("scale", [1e30, 1e-20, 1e-38, 1e-42, 0.0])
@pytest.mark.parametrize("kind", PACKED, ids=lambda kind: kind.name)
def test_extreme_inputs_scale_their_outputs(native, kind, scale):
    """Outputs follow the size of the inputs; below 2^-100 they are zero."""
    weights = packed_weights(kind, 19, 128, 32, 1)
    values = normal(2, 6, 128)
    inputs = native.inputs((values.astype(np.float64) * scale).astype(np.float32), 32)
    result = native.multiply(weights, inputs)
    assert_sums(result, packed_terms(weights, inputs))
    if scale >= 4 * LEAST_MAGNITUDE:
        np.testing.assert_allclose(result / scale, native.product(weights, values), rtol=1e-2, atol=1e-2)
    else:
        np.testing.assert_array_equal(result, 0)


@pytest.mark.parametrize("scale", [2.0**-24, 2.0**-15, 1.0, 2.0**13])
def test_weight_scales_may_be_denormal_or_huge(native, scale):
    """Every float16 scale counts for what it is."""
    weights = packed_weights(Kind.Q4_MIN, 20, 96, 32, 3, scale=scale)
    inputs = native.inputs(normal(4, 7, 96), 32)
    assert_sums(native.multiply(weights, inputs), packed_terms(weights, inputs))


@settings(max_examples=50)
@given(
    blocks=st.integers(1, 9),
    group=st.sampled_from([32, 64]),
    seed=seeds,
    scale=st.sampled_from([1e-25, 1.0, 3e37]),
)
def test_inputs_are_quantised_to_the_nearest_code(native, blocks, group, seed, scale):
    """A group's largest magnitude becomes 127; codes are the nearest, and their sums exact."""
    values = normal(seed, 1, blocks * group, scale=scale)
    inputs = native.inputs(values, group)
    by_group = values.reshape(blocks, group)
    expected = np.abs(by_group).max(1) / np.float32(LARGEST_CODE)
    np.testing.assert_array_equal(inputs.scales[0], expected)
    codes = inputs.codes.reshape(blocks, group).astype(np.int32)
    np.testing.assert_array_equal(np.abs(codes).max(1), LARGEST_CODE)
    np.testing.assert_array_equal(inputs.sums[0], codes.sum(1))
    exact = by_group.astype(np.float64) / expected[:, None]
    assert (np.abs(exact - codes) <= 0.5 + 1e-4).all()


@settings(max_examples=50)
@given(cols=st.integers(1, 70), seed=seeds)
def test_bfloat16_is_rounded_to_nearest_even(native, cols, seed):
    """Any float becomes the nearest bfloat16, ties go to even, and NaN stays NaN."""
    bits = np.random.default_rng(seed).integers(0, 2**32, cols, np.uint32)
    bits[::3] = bits[::3] & 0xFFFF0000 | 0x8000
    values = bits.view(np.float32)
    out = np.zeros(cols, np.uint16)
    native.call("to_bf16", values, cols, out)
    nans = np.isnan(values)
    assert np.isnan(from_bf16(out[nans])).all()
    low, high = bits >> 16, (bits >> 16) + 1
    rest = bits & 0xFFFF
    nearest = np.where((rest > 0x8000) | (rest == 0x8000) & (low % 2 == 1), high, low)
    np.testing.assert_array_equal(out[~nans], nearest[~nans])


@settings(max_examples=50)
@given(weights=matrices(), seed=seeds)
def test_rows_expand_to_their_numbers(native, weights, seed):
    """A row of a matrix comes out as the numbers it stands for, times a factor."""
    row = seed % weights.rows
    out = np.zeros(weights.cols, np.float32)
    native.call("expand_row", ctypes.byref(weights.native), row, ctypes.c_float(1.5), out)
    np.testing.assert_allclose(out, 1.5 * weights.values[row], rtol=4 * ROUNDING, atol=1e-8)


@pytest.mark.parametrize(
    ("quantise", "kind", "loss"), [(quantise_q8, Kind.Q8, 0.012), (quantise_q4, Kind.Q4, 0.11)]
)
def test_quantised_products_are_near_those_of_the_numbers(native, quantise, kind, loss):
    """Quantising weights and inputs loses as much as the bits say."""
    exact, values = normal(1, 100, 512), normal(2, 12, 512)
    packed = quantise(exact, group=32)
    result = native.product(weights_of(kind, packed, packed.unpack()), values)
    expected = values.astype(np.float64) @ exact.T.astype(np.float64)
    assert np.linalg.norm(result - expected) <= loss * np.linalg.norm(expected)


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_share_a_product(native, kind, threads):
    """The product of all threads together has the bits of the kernel."""
    if not native.library.hp_runs_here(native.isa):
        pytest.skip("emulated, for tests of single kernels")
    weights = any_weights(kind, 300, 4, 32, 3)
    values = normal(5, 11, weights.cols)
    out = np.zeros((11, 300), np.float32)
    code = native.library.hp_matmul(
        native.isa, threads, ctypes.byref(weights.native), values.ctypes.data, 11, out.ctypes.data
    )
    assert code == 0
    np.testing.assert_array_equal(out, native.product(weights, values))
