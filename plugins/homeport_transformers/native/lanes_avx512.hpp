// Sixteen floats in one AVX-512 register; the same names as in lanes_avx2.hpp, so that one source serves
// both.
//
// Everything has internal linkage: each unit keeps its own copies.
#pragma once

#include <cstdint>

#include "intrinsics.hpp"

namespace homeport::avx512 {

using Lanes = __m512;

// Vectors of sums that an inner loop keeps in registers, beside what it loads.
constexpr int kAccumulators = 24;
// Queries that share every key and value they load.
constexpr int kQueryTile = 8;

static inline Lanes zero() { return _mm512_setzero_ps(); }
static inline Lanes broadcast(float value) { return _mm512_set1_ps(value); }
static inline Lanes load(const float* from) { return _mm512_loadu_ps(from); }
static inline void store(float* to, Lanes x) { _mm512_storeu_ps(to, x); }

static inline __mmask16 first(int count) { return static_cast<__mmask16>((1U << count) - 1); }

// The first count (0..16) elements; the other lanes are 0 and their memory is not touched.
static inline Lanes load_first(const float* from, int count) {
    return _mm512_maskz_loadu_ps(first(count), from);
}
static inline void store_first(float* to, Lanes x, int count) { _mm512_mask_storeu_ps(to, first(count), x); }

// Lanes [begin, end) of x, and other in the rest.
static inline Lanes between(Lanes x, int begin, int end, Lanes other) {
    return _mm512_mask_mov_ps(other, first(end) & ~first(begin), x);
}

static inline Lanes fma(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
static inline Lanes negated_fma(Lanes a, Lanes b, Lanes c) { return _mm512_fnmadd_ps(a, b, c); }
static inline Lanes divide(Lanes a, Lanes b) { return _mm512_div_ps(a, b); }
static inline Lanes multiply(Lanes a, Lanes b) { return _mm512_mul_ps(a, b); }
static inline Lanes sum(Lanes a, Lanes b) { return _mm512_add_ps(a, b); }
static inline Lanes difference(Lanes a, Lanes b) { return _mm512_sub_ps(a, b); }
// Where x is not a number these give x.
static inline Lanes at_least(Lanes x, Lanes bound) { return _mm512_max_ps(bound, x); }
static inline Lanes at_most(Lanes x, Lanes bound) { return _mm512_min_ps(bound, x); }
static inline Lanes nearest(Lanes x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline Lanes magnitude(Lanes x) { return _mm512_abs_ps(x); }
// x with the sign of y.
static inline Lanes with_sign(Lanes x, Lanes y) {
    const __m512i sign = _mm512_set1_epi32(INT32_MIN);
    // 0xd8: bits of y where the mask is set, else bits of x.
    return _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(_mm512_castps_si512(x), _mm512_castps_si512(y), sign, 0xd8));
}
// 0 where a < b, else x; also where one of them is not a number.
static inline Lanes unless_below(Lanes a, Lanes b, Lanes x) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ), x);
}
// x * 2^power for whole powers that leave the result normal.
static inline Lanes scale_by_power(Lanes x, Lanes power) { return _mm512_scalef_ps(x, power); }

static inline float total(Lanes x) { return _mm512_reduce_add_ps(x); }
static inline float largest(Lanes x) { return _mm512_reduce_max_ps(x); }

static inline Lanes load_bf16(const uint16_t* from) {
    const __m256i packed = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(packed), 16));
}

// The first, and the second, of each of sixteen pairs of bfloat16.
static inline Lanes even_of_bf16_pairs(const uint16_t* from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(from), 16));
}
static inline Lanes odd_of_bf16_pairs(const uint16_t* from) {
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(from), upper));
}

// Sixteen pairs of floats: the first of each pair, and the second.
static inline void load_pairs(const float* from, Lanes& even, Lanes& odd) {
    const Lanes low = load(from);
    const Lanes high = load(from + 16);
    const __m512i index = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    even = _mm512_permutex2var_ps(low, index, high);
    odd = _mm512_permutex2var_ps(low, _mm512_add_epi32(index, _mm512_set1_epi32(1)), high);
}

// Rounds the first count lanes to nearest even; what is not a number stays so.
static inline void store_bf16_first(uint16_t* to, Lanes x, int count) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
    rounded =
        _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc0));
    _mm256_mask_storeu_epi16(to, first(count), _mm512_cvtepi32_epi16(rounded));
}

}  // namespace homeport::avx512
