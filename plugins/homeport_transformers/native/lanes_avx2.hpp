// Sixteen floats in two AVX2 registers; the same names as in lanes_avx512.hpp, so that one source serves
// both.
//
// Everything has internal linkage: each unit keeps its own copies.
#pragma once

#include <cstdint>

#include "intrinsics.hpp"

namespace homeport::avx2 {

struct Lanes {
    __m256 low;
    __m256 high;
};

// Vectors of sums that an inner loop keeps in registers, beside what it loads.
constexpr int kAccumulators = 4;
// Queries that share every key and value they load: 12 registers of sums, 2 of keys, 1 of a query.
constexpr int kQueryTile = 6;

static inline Lanes zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
static inline Lanes broadcast(float value) {
    const __m256 all = _mm256_set1_ps(value);
    return {all, all};
}
static inline Lanes load(const float* from) { return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}; }
static inline void store(float* to, Lanes x) {
    _mm256_storeu_ps(to, x.low);
    _mm256_storeu_ps(to + 8, x.high);
}

static inline __m256i low_indices() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
static inline __m256i high_indices() { return _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15); }
static inline __m256i below(__m256i indices, int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), indices);
}

// The first count (0..16) elements; the other lanes are 0 and their memory is not touched.
static inline Lanes load_first(const float* from, int count) {
    return {_mm256_maskload_ps(from, below(low_indices(), count)),
            _mm256_maskload_ps(from + 8, below(high_indices(), count))};
}
static inline void store_first(float* to, Lanes x, int count) {
    _mm256_maskstore_ps(to, below(low_indices(), count), x.low);
    _mm256_maskstore_ps(to + 8, below(high_indices(), count), x.high);
}

// Lanes [begin, end) of x, and other in the rest.
static inline Lanes between(Lanes x, int begin, int end, Lanes other) {
    const auto half = [&](__m256 mine, __m256 theirs, __m256i indices) {
        const __m256i inside = _mm256_andnot_si256(below(indices, begin), below(indices, end));
        return _mm256_blendv_ps(theirs, mine, _mm256_castsi256_ps(inside));
    };
    return {half(x.low, other.low, low_indices()), half(x.high, other.high, high_indices())};
}

static inline Lanes fma(Lanes a, Lanes b, Lanes c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
static inline Lanes negated_fma(Lanes a, Lanes b, Lanes c) {
    return {_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
}
static inline Lanes divide(Lanes a, Lanes b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
static inline Lanes multiply(Lanes a, Lanes b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
static inline Lanes sum(Lanes a, Lanes b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
static inline Lanes difference(Lanes a, Lanes b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
// Where x is not a number these give x.
static inline Lanes at_least(Lanes x, Lanes bound) {
    return {_mm256_max_ps(bound.low, x.low), _mm256_max_ps(bound.high, x.high)};
}
static inline Lanes at_most(Lanes x, Lanes bound) {
    return {_mm256_min_ps(bound.low, x.low), _mm256_min_ps(bound.high, x.high)};
}
static inline Lanes nearest(Lanes x) {
    constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(x.low, kMode), _mm256_round_ps(x.high, kMode)};
}
static inline Lanes magnitude(Lanes x) {
    const __m256 sign = _mm256_set1_ps(-0.0F);
    return {_mm256_andnot_ps(sign, x.low), _mm256_andnot_ps(sign, x.high)};
}
// x with the sign of y.
static inline Lanes with_sign(Lanes x, Lanes y) {
    const __m256 sign = _mm256_set1_ps(-0.0F);
    const auto half = [&](__m256 mine, __m256 theirs) {
        return _mm256_or_ps(_mm256_andnot_ps(sign, mine), _mm256_and_ps(sign, theirs));
    };
    return {half(x.low, y.low), half(x.high, y.high)};
}
// 0 where a < b, else x; also where one of them is not a number.
static inline Lanes unless_below(Lanes a, Lanes b, Lanes x) {
    return {_mm256_and_ps(_mm256_cmp_ps(a.low, b.low, _CMP_NLT_UQ), x.low),
            _mm256_and_ps(_mm256_cmp_ps(a.high, b.high, _CMP_NLT_UQ), x.high)};
}
// x * 2^power for whole powers that leave the result normal.
static inline Lanes scale_by_power(Lanes x, Lanes power) {
    const auto half = [](__m256 mine, __m256 exponent) {
        const __m256i shifted = _mm256_slli_epi32(_mm256_cvtps_epi32(exponent), 23);
        return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(mine), shifted));
    };
    return {half(x.low, power.low), half(x.high, power.high)};
}

static inline float total(Lanes x) {
    const __m256 eight = _mm256_add_ps(x.low, x.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
static inline float largest(Lanes x) {
    const __m256 eight = _mm256_max_ps(x.low, x.high);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

static inline Lanes load_bf16(const uint16_t* from) {
    const auto half = [](const uint16_t* eight) {
        const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(eight));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(packed), 16));
    };
    return {half(from), half(from + 8)};
}

// The first, and the second, of each of sixteen pairs of bfloat16.
static inline Lanes even_of_bf16_pairs(const uint16_t* from) {
    const auto half = [](const uint16_t* eight) {
        const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(eight));
        return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
    };
    return {half(from), half(from + 16)};
}
static inline Lanes odd_of_bf16_pairs(const uint16_t* from) {
    const auto half = [](const uint16_t* eight) {
        const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(eight));
        const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000));
        return _mm256_castsi256_ps(_mm256_and_si256(pairs, upper));
    };
    return {half(from), half(from + 16)};
}

// Eight pairs of floats: the first of each pair, and the second.
static inline void split_pairs(__m256 a, __m256 b, __m256& even, __m256& odd) {
    const auto in_order = [](__m256 x) {
        return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), 0b11011000));
    };
    even = in_order(_mm256_shuffle_ps(a, b, 0b10001000));
    odd = in_order(_mm256_shuffle_ps(a, b, 0b11011101));
}

// Sixteen pairs of floats: the first of each pair, and the second.
static inline void load_pairs(const float* from, Lanes& even, Lanes& odd) {
    split_pairs(_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8), even.low, odd.low);
    split_pairs(_mm256_loadu_ps(from + 16), _mm256_loadu_ps(from + 24), even.high, odd.high);
}

// Eight floats as bfloat16, to nearest even, in the low halves of 32 bits; what is not a number stays so.
static inline __m256i rounded_to_bf16(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
    const __m256i unordered = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), unordered);
}

// Rounds the first count lanes.
static inline void store_bf16_first(uint16_t* to, Lanes x, int count) {
    const __m256i mixed = _mm256_packus_epi32(rounded_to_bf16(x.low), rounded_to_bf16(x.high));
    const __m256i all = _mm256_permute4x64_epi64(mixed, 0b11011000);
    if (count == 16) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), all);
        return;
    }
    alignas(32) uint16_t rounded[16];
    _mm256_store_si256(reinterpret_cast<__m256i*>(rounded), all);
    for (int lane = 0; lane < count; ++lane) to[lane] = rounded[lane];
}

}  // namespace homeport::avx2
