// Packed matrix products on AVX-512 with VNNI.
//
// One line of codes is 16 rows times 4 columns (twice that in nibbles) and meets, in one vpdpbusd, 4 codes of
// an input row in all lanes. Per group the integer sum becomes float and is scaled; nothing is reduced across
// lanes.
#include <utility>

#include "finish_avx512.hpp"
#include "intrinsics.hpp"
#include "matmul.hpp"

namespace homeport::avx512 {

namespace {

// 2 x 5 was faster than 2 x 6, 3 x 4, 4 x 3 and 1 x 12; unpacking nibbles to memory first gained nothing.
constexpr int kTileStrips = 2;
constexpr int kTileRows = 5;

}  // namespace

#include "packed_product.inl"

namespace {

// 16 rows times columns 0..3, and times columns 4..7.
struct Lines {
    __m512i first, second;
};

template <int kKind>
inline Lines load_lines(const uint8_t* codes, int index) {
    if constexpr (kNibbles<kKind>) {
        const __m512i low = _mm512_set1_epi8(15), both = _mm512_loadu_si512(codes + kLine * index);
        return {_mm512_and_si512(both, low), _mm512_and_si512(_mm512_srli_epi16(both, 4), low)};
    } else {
        const uint8_t* line = codes + 2 * kLine * index;
        return {_mm512_loadu_si512(line), _mm512_loadu_si512(line + kLine)};
    }
}

inline __m512 load_halves(const uint16_t* halves) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
}

// Adds the products of one block to dots.
template <int kKind, int kStrips, int kRows>
inline void dot_block(const Step& step, const uint8_t* codes, const int8_t* inputs,
                      __m512i (&dots)[kStrips][kRows]) {
#pragma GCC unroll 4
    for (int i = 0; i < kBlock / 8; ++i, inputs += 8) {
        Lines lines[kStrips];
#pragma GCC unroll 2
        for (int s = 0; s < kStrips; ++s) lines[s] = load_lines<kKind>(codes + s * step.strip_codes, i);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
            const __m512i four = _mm512_set1_epi32(four_codes(inputs + r * step.cols));
#pragma GCC unroll 2
            for (int s = 0; s < kStrips; ++s) {
                dots[s][r] = _mm512_dpbusd_epi32(dots[s][r], lines[s].first, four);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
            const __m512i four = _mm512_set1_epi32(four_codes(inputs + r * step.cols + 4));
#pragma GCC unroll 2
            for (int s = 0; s < kStrips; ++s) {
                dots[s][r] = _mm512_dpbusd_epi32(dots[s][r], lines[s].second, four);
            }
        }
    }
}

// Where the integer sums of a group begin: minus the offset of the codes times the sum of the input's.
template <int kKind>
inline __m512i first_dot(int32_t sum) {
    if constexpr (kKind == HP_Q4_MIN) return _mm512_setzero_si512();
    constexpr int kOffsetBits = kKind == HP_Q8 ? 7 : 3;
    return _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(_mm512_set1_epi32(sum), kOffsetBits));
}

// Brings the integer sums of a group into the float sums.
template <int kKind, int kStrips, int kRows>
inline void scale_group(const Step& step, size_t group, const __m512i (&dots)[kStrips][kRows],
                        __m512 (&sums)[kStrips][kRows]) {
    const uint16_t* scales_at = step.scales + group * kStripRows;
    const uint16_t* mins_at = kKind == HP_Q4_MIN ? step.mins + group * kStripRows : nullptr;
    _mm_prefetch(reinterpret_cast<const char*>(scales_at + step.scales_ahead), _MM_HINT_T0);
    if constexpr (kKind == HP_Q4_MIN) {
        _mm_prefetch(reinterpret_cast<const char*>(mins_at + step.scales_ahead), _MM_HINT_T0);
    }
    __m512 scales[kStrips], mins[kStrips];
#pragma GCC unroll 2
    for (int s = 0; s < kStrips; ++s) {
        scales[s] = load_halves(scales_at + s * step.strip_scales);
        if constexpr (kKind == HP_Q4_MIN) mins[s] = load_halves(mins_at + s * step.strip_scales);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
        const __m512 scale = _mm512_set1_ps(step.input_scales[r * step.groups + group]);
        const __m512i sum = _mm512_set1_epi32(step.input_sums[r * step.groups + group]);
#pragma GCC unroll 2
        for (int s = 0; s < kStrips; ++s) {
            sums[s][r] =
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[s][r]), _mm512_mul_ps(scales[s], scale), sums[s][r]);
            if constexpr (kKind == HP_Q4_MIN) {
                sums[s][r] =
                    _mm512_fmadd_ps(mins[s], _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale), sums[s][r]);
            }
        }
    }
}

template <int kKind, int kBlocks, int kStrips, int kRows>
void tile(const Step& step) {
    __m512 sums[kStrips][kRows];
#pragma GCC unroll 16
    for (int i = 0; i < kStrips * kRows; ++i) sums[i / kRows][i % kRows] = _mm512_setzero_ps();
    const uint8_t* codes = step.codes;
    const int8_t* inputs = step.inputs;
    for (size_t group = 0; group < step.groups; ++group) {
        __m512i dots[kStrips][kRows];
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
            const __m512i dot = first_dot<kKind>(step.input_sums[r * step.groups + group]);
#pragma GCC unroll 2
            for (int s = 0; s < kStrips; ++s) dots[s][r] = dot;
        }
#pragma GCC unroll 1
        for (int block = 0; block < kBlocks; ++block, codes += kBlockBytes<kKind>, inputs += kBlock) {
            fetch_block<kKind>(codes + step.codes_ahead);
            dot_block<kKind>(step, codes, inputs, dots);
        }
        scale_group<kKind>(step, group, dots, sums);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kStrips * kRows; ++i) {
        const int s = i / kRows, r = i % kRows;
        finish(step.target, r, s * kStripRows, step.outputs - s * kStripRows, sums[s][r]);
    }
}

template <int kKind, int kBlocks, int... kRows>
constexpr Tiles make_tiles(std::integer_sequence<int, kRows...>) {
    return {{{tile<kKind, kBlocks, 1, kRows + 1>...}, {tile<kKind, kBlocks, 2, kRows + 1>...}}};
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

}  // namespace homeport::avx512
