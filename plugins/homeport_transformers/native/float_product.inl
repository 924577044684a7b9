// A product with a row-major float matrix. The instruction set that includes this in its namespace brings
// Lanes: Element, kWidth (elements), kParts (that they are taken in), kRows (of a tile), Sum, Loaded, zero,
// load<part>, add_products and fold.

namespace {

constexpr int kTileOutputs = 4;
// Inputs that stay in the second-level cache while strips go by.
constexpr int kInputBytes = 256 * 1024;

// Four outputs of a matrix; where there are fewer, the last stands in.
template <class Lanes>
struct FloatStep {
    using Element = typename Lanes::Element;
    const Element* weights[kTileOutputs];
    const Element* inputs;
    int cols;
    Target target;
    int outputs;  // how many there are
};

// kWidth elements from memory, or of some fewer and zeros.
template <class Lanes, int kPart, bool kWhole>
inline typename Lanes::Loaded load(const typename Lanes::Element* from, int count) {
    if constexpr (kWhole) return Lanes::template load<kPart>(from);
    alignas(64) typename Lanes::Element padded[Lanes::kWidth] = {};
    __builtin_memcpy(padded, from, count * sizeof *from);
    return Lanes::template load<kPart>(padded);
}

// Adds the products of kWidth columns, or of some fewer: of one part of them, and then of those behind it.
template <class Lanes, int kPart, bool kWhole, int kRows>
inline void add_columns(const FloatStep<Lanes>& step, int col, int count,
                        typename Lanes::Sum (&sums)[kRows][kTileOutputs]) {
    typename Lanes::Loaded weights[kTileOutputs];
#pragma GCC unroll 4
    for (int o = 0; o < kTileOutputs; ++o) {
        weights[o] = load<Lanes, kPart, kWhole>(step.weights[o] + col, count);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
        const typename Lanes::Element* inputs = step.inputs + static_cast<ptrdiff_t>(r) * step.cols;
        const typename Lanes::Loaded input = load<Lanes, kPart, kWhole>(inputs + col, count);
#pragma GCC unroll 4
        for (int o = 0; o < kTileOutputs; ++o) {
            sums[r][o] = Lanes::add_products(sums[r][o], weights[o], input);
        }
    }
    if constexpr (kPart + 1 < Lanes::kParts) add_columns<Lanes, kPart + 1, kWhole>(step, col, count, sums);
}

// Fetches the same columns of the next outputs.
template <class Lanes>
inline void fetch_columns(const FloatStep<Lanes>& step, int col) {
    const ptrdiff_t ahead = static_cast<ptrdiff_t>(kTileOutputs) * step.cols;
#pragma GCC unroll 4
    for (int o = 0; o < kTileOutputs; ++o) {
        _mm_prefetch(reinterpret_cast<const char*>(step.weights[o] + ahead + col), _MM_HINT_T0);
    }
}

template <class Lanes>
inline void finish(const FloatStep<Lanes>& step, int row, const typename Lanes::Sum (&sums)[kTileOutputs]) {
    const __m128 low = _mm_hadd_ps(Lanes::fold(sums[0]), Lanes::fold(sums[1]));
    const __m128 high = _mm_hadd_ps(Lanes::fold(sums[2]), Lanes::fold(sums[3]));
    float values[kTileOutputs];
    _mm_storeu_ps(values, _mm_hadd_ps(low, high));
    float* out = step.target.data + row * step.target.stride;
    for (int o = 0; o < step.outputs; ++o) {
        const float value = step.target.bias ? values[o] + step.target.bias[o] : values[o];
        out[o] = step.target.accumulate ? out[o] + value : value;
    }
}

template <class Lanes, int kRows, bool kFetch>
void float_tile(const FloatStep<Lanes>& step) {
    typename Lanes::Sum sums[kRows][kTileOutputs];
#pragma GCC unroll 32
    for (int i = 0; i < kRows * kTileOutputs; ++i) sums[i / kTileOutputs][i % kTileOutputs] = Lanes::zero();
    int col = 0;
    for (; col + Lanes::kWidth <= step.cols; col += Lanes::kWidth) {
        if constexpr (kFetch) fetch_columns(step, col);
        add_columns<Lanes, 0, true>(step, col, Lanes::kWidth, sums);
    }
    if (col < step.cols) add_columns<Lanes, 0, false>(step, col, step.cols - col, sums);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) finish(step, r, sums[r]);
}

template <class Lanes>
class FloatProduct {
public:
    using Element = typename Lanes::Element;

    FloatProduct(const HpMatrix& matrix, const Element* inputs, int rows, const Target& target)
        : matrix_(matrix), inputs_(inputs), rows_(rows), target_(target) {}

    void run(int begin, int end) const {
        const int fitting = kInputBytes / (matrix_.cols * static_cast<int>(sizeof(Element)));
        const int most = fitting < Lanes::kRows ? Lanes::kRows : fitting;
        const int last = matrix_.rows < end * kStripRows ? matrix_.rows : end * kStripRows;
        for (int first = 0; first < rows_; first += most) {
            const int rows = rows_ - first < most ? rows_ - first : most;
            for (int output = begin * kStripRows; output < last; output += kTileOutputs) {
                run_tiles(first, rows, output, last);
            }
        }
    }

private:
    // Tiles of nearly equal size over the same outputs.
    void run_tiles(int first, int rows, int output, int last) const {
        const int count = (rows + Lanes::kRows - 1) / Lanes::kRows;
        for (int index = 0, row = 0; index < count; ++index) {
            const int size = (rows - row) / (count - index);
            const bool fetch = index == 0 && output + kTileOutputs < last;
            const auto tile = find_tile(std::make_integer_sequence<int, Lanes::kRows>(), size, fetch);
            tile(step(first + row, output, last));
            row += size;
        }
    }

    template <int... kRows>
    static auto find_tile(std::integer_sequence<int, kRows...>, int rows, bool fetch) {
        static constexpr void (*kTiles[2][Lanes::kRows])(const FloatStep<Lanes>&) = {
            {float_tile<Lanes, kRows + 1, false>...}, {float_tile<Lanes, kRows + 1, true>...}};
        return kTiles[fetch][rows - 1];
    }

    FloatStep<Lanes> step(int row, int output, int last) const {
        FloatStep<Lanes> result;
        const int left = last - output;
        result.outputs = left < kTileOutputs ? left : kTileOutputs;
        for (int o = 0; o < kTileOutputs; ++o) {
            const ptrdiff_t from = output + (o < result.outputs ? o : result.outputs - 1);
            result.weights[o] = static_cast<const Element*>(matrix_.codes) + from * matrix_.cols;
        }
        result.inputs = inputs_ + static_cast<ptrdiff_t>(row) * matrix_.cols;
        result.cols = matrix_.cols;
        result.target = target_;
        result.target.data += row * target_.stride + output;
        if (target_.bias) result.target.bias += output;
        return result;
    }

    const HpMatrix& matrix_;
    const Element* inputs_;
    const int rows_;
    const Target& target_;
};

}  // namespace
