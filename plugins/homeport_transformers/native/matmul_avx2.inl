// Packed matrix products on 256-bit vectors, with VNNI where the unit is compiled for it.
//
// A strip is two halves of 8 rows. Half a line of codes is 8 rows times 4 columns (twice that in nibbles) and
// meets 4 codes of an input row in all lanes. Integer sums are exact either way, so that both forms, and
// AVX-512's, give the same bits.
#include <utility>

#include "intrinsics.hpp"
#include "matmul.hpp"

#ifdef __AVXVNNI__
namespace homeport::avx2_vnni {
#else
namespace homeport::avx2 {
#endif

namespace {

#ifdef __AVXVNNI__
constexpr bool kVnni = true;
#else
constexpr bool kVnni = false;
#endif

constexpr int kTileStrips = 1;
constexpr int kTileRows = 4;

}  // namespace

#include "packed_product.inl"

namespace {

constexpr int kHalves = 2;
constexpr int kHalfRows = kStripRows / kHalves;

// Whether the offset of the codes is taken off beforehand; if not, the sum of the input's codes corrects it.
template <int kKind>
constexpr bool kSignedCodes = !kVnni && kKind == HP_Q8;
// Whether the products of a block are summed in 16 bits: at most 8 x 2 x 15 x 127 = 30480.
template <int kKind>
constexpr bool kShortSums = !kVnni && kNibbles<kKind>;

inline __m256i load(const uint8_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

// Codes of 8 rows times columns 4 q to 4 q + 3 of a block.
template <int kKind>
inline __m256i load_codes(const uint8_t* codes, int half, int q) {
    constexpr int kHalfLine = kLine / kHalves;
    if constexpr (kNibbles<kKind>) {
        const __m256i both = load(codes + q / 2 * kLine + half * kHalfLine);
        return _mm256_and_si256(q % 2 ? _mm256_srli_epi16(both, 4) : both, _mm256_set1_epi8(15));
    } else {
        const __m256i bytes = load(codes + q * kLine + half * kHalfLine);
        return kSignedCodes<kKind> ? _mm256_xor_si256(bytes, _mm256_set1_epi8(-128)) : bytes;
    }
}

// Adds the products of four columns. Nothing saturates: of signed codes the magnitude, at most 128, is what
// vpmaddubsw takes as unsigned, and the input, at most 127, gets their sign.
template <int kKind>
inline __m256i add_products(__m256i sums, __m256i codes, __m256i inputs) {
#ifdef __AVXVNNI__
    return _mm256_dpbusd_avx_epi32(sums, codes, inputs);
#else
    if constexpr (kShortSums<kKind>) {
        sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(codes, inputs));
    } else {
        const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(inputs, codes));
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    // gcc would add products pairwise, hold more of them than there are registers, and take twice as long.
    asm("" : "+x"(sums));
    return sums;
#endif
}

// Adds the products of one block to dots.
template <int kKind, int kRows>
inline void dot_block(const Step& step, const uint8_t* codes, const int8_t* inputs,
                      __m256i (&dots)[kHalves][kRows]) {
    __m256i sums[kHalves][kRows];
#pragma GCC unroll 16
    for (int i = 0; i < kHalves * kRows; ++i) {
        sums[i / kRows][i % kRows] = kShortSums<kKind> ? _mm256_setzero_si256() : dots[i / kRows][i % kRows];
    }
#pragma GCC unroll 8
    for (int q = 0; q < kBlock / 4; ++q, inputs += 4) {
        const __m256i halves[kHalves] = {load_codes<kKind>(codes, 0, q), load_codes<kKind>(codes, 1, q)};
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
            const __m256i four = _mm256_set1_epi32(four_codes(inputs + r * step.cols));
#pragma GCC unroll 2
            for (int h = 0; h < kHalves; ++h) sums[h][r] = add_products<kKind>(sums[h][r], halves[h], four);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < kHalves * kRows; ++i) {
        __m256i& dot = dots[i / kRows][i % kRows];
        const __m256i sum = sums[i / kRows][i % kRows];
        dot = kShortSums<kKind> ? _mm256_add_epi32(dot, _mm256_madd_epi16(sum, _mm256_set1_epi16(1))) : sum;
    }
}

// Where the integer sums of a group begin: minus the offset of the codes times the sum of the input's.
template <int kKind>
inline __m256i first_dot(int32_t sum) {
    if constexpr (kKind == HP_Q4_MIN || kSignedCodes<kKind>) return _mm256_setzero_si256();
    constexpr int kOffset = kKind == HP_Q8 ? 128 : 8;
    return _mm256_set1_epi32(-kOffset * sum);
}

inline __m256 load_halves(const uint16_t* halves) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves)));
}

// Brings the integer sums of a group into the float sums.
template <int kKind, int kRows>
inline void scale_group(const Step& step, size_t group, const __m256i (&dots)[kHalves][kRows],
                        __m256 (&sums)[kHalves][kRows]) {
    const uint16_t* scales_at = step.scales + group * kStripRows;
    const uint16_t* mins_at = kKind == HP_Q4_MIN ? step.mins + group * kStripRows : nullptr;
    _mm_prefetch(reinterpret_cast<const char*>(scales_at + step.scales_ahead), _MM_HINT_T0);
    if constexpr (kKind == HP_Q4_MIN) {
        _mm_prefetch(reinterpret_cast<const char*>(mins_at + step.scales_ahead), _MM_HINT_T0);
    }
#pragma GCC unroll 2
    for (int h = 0; h < kHalves; ++h) {
        const __m256 scales = load_halves(scales_at + h * kHalfRows);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
            const __m256 scale = _mm256_set1_ps(step.input_scales[r * step.groups + group]);
            sums[h][r] =
                _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[h][r]), _mm256_mul_ps(scales, scale), sums[h][r]);
            if constexpr (kKind == HP_Q4_MIN) {
                const float sum = static_cast<float>(step.input_sums[r * step.groups + group]);
                const __m256 input = _mm256_mul_ps(_mm256_set1_ps(sum), scale);
                sums[h][r] = _mm256_fmadd_ps(load_halves(mins_at + h * kHalfRows), input, sums[h][r]);
            }
        }
    }
}

inline void finish(const Target& target, int row, int first, int outputs, __m256 sum) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(outputs), lanes);
    float* out = target.data + row * target.stride + first;
    if (target.bias) sum = _mm256_add_ps(sum, _mm256_maskload_ps(target.bias + first, mask));
    if (target.accumulate) sum = _mm256_add_ps(_mm256_maskload_ps(out, mask), sum);
    _mm256_maskstore_ps(out, mask, sum);
}

template <int kKind, int kBlocks, int kRows>
void tile(const Step& step) {
    __m256 sums[kHalves][kRows];
#pragma GCC unroll 16
    for (int i = 0; i < kHalves * kRows; ++i) sums[i / kRows][i % kRows] = _mm256_setzero_ps();
    const uint8_t* codes = step.codes;
    const int8_t* inputs = step.inputs;
    for (size_t group = 0; group < step.groups; ++group) {
        __m256i dots[kHalves][kRows];
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
            dots[0][r] = dots[1][r] = first_dot<kKind>(step.input_sums[r * step.groups + group]);
        }
#pragma GCC unroll 1
        for (int block = 0; block < kBlocks; ++block, codes += kBlockBytes<kKind>, inputs += kBlock) {
            fetch_block<kKind>(codes + step.codes_ahead);
            dot_block<kKind>(step, codes, inputs, dots);
        }
        scale_group<kKind>(step, group, dots, sums);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kHalves * kRows; ++i) {
        const int half = i / kRows, row = i % kRows, first = half * kHalfRows;
        if (first < step.outputs) finish(step.target, row, first, step.outputs - first, sums[half][row]);
    }
}

template <int kKind, int kBlocks, int... kRows>
constexpr Tiles make_tiles(std::integer_sequence<int, kRows...>) {
    return {{{tile<kKind, kBlocks, kRows + 1>...}}};
}

using Rows = std::make_integer_sequence<int, kTileRows>;
template <int kKind>
constexpr Tiles kTiles[2] = {make_tiles<kKind, 1>(Rows()), make_tiles<kKind, 2>(Rows())};

const Tiles& tiles_for(const HpMatrix& matrix) {
    const int index = matrix.group / kBlock - 1;
    if (matrix.kind == HP_Q8) return kTiles<HP_Q8>[index];
    return matrix.kind == HP_Q4 ? kTiles<HP_Q4>[index] : kTiles<HP_Q4_MIN>[index];
}

}  // namespace

void matmul(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end,
            Scratch) {
    const bool packed = matrix.kind != HP_F32 && matrix.kind != HP_BF16;
    if (!packed) return float_matmul(matrix, operand, target, begin, end);
    PackedProduct(matrix, operand, target).run(begin, end);
}

}  // namespace homeport::avx2 or avx2_vnni
