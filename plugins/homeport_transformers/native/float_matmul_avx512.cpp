// Products with float and bfloat16 matrices on AVX-512.
#include <utility>

#include "features.hpp"
#include "intrinsics.hpp"
#include "matmul.hpp"

namespace homeport::avx512 {

#include "float_product.inl"

namespace {

struct Sums {
    using Sum = __m512;
    using Loaded = __m512;
    static constexpr int kRows = 6;
    static Sum zero() { return _mm512_setzero_ps(); }
    static Sum add_products(Sum sum, Loaded a, Loaded b) { return _mm512_fmadd_ps(a, b, sum); }
    static __m128 fold(Sum sum) {
        const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sum), _mm512_extractf32x8_ps(sum, 1));
        return _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    }
};

struct FloatLanes : Sums {
    using Element = float;
    static constexpr int kWidth = 16, kParts = 1;
    template <int kPart>
    static Loaded load(const float* from) {
        return _mm512_loadu_ps(from);
    }
};

struct Bf16Lanes : Sums {
    using Element = uint16_t;
    using Loaded = __m512i;
    static constexpr int kWidth = 32, kParts = 1;
    template <int kPart>
    static Loaded load(const uint16_t* from) {
        return _mm512_loadu_si512(from);
    }
    // Not the intrinsic: that wants this unit compiled for CPUs that have the instruction, and some do not.
    static Sum add_products(Sum sum, Loaded a, Loaded b) {
        asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
        return sum;
    }
};

// Without vdpbf16ps: even elements and then odd ones, each as the high half of a float.
struct WideBf16Lanes : Sums {
    using Element = uint16_t;
    static constexpr int kWidth = 32, kParts = 2;
    template <int kPart>
    static Loaded load(const uint16_t* from) {
        const __m512i both = _mm512_loadu_si512(from);
        if constexpr (kPart == 0) return _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
        const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000));
        return _mm512_castsi512_ps(_mm512_and_si512(both, high));
    }
};

}  // namespace

void float_matmul(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end) {
    if (matrix.kind == HP_F32) {
        FloatProduct<FloatLanes>(matrix, operand.values, operand.rows, target).run(begin, end);
    } else if (cpu_features().avx512_bf16) {
        FloatProduct<Bf16Lanes>(matrix, operand.bf16, operand.rows, target).run(begin, end);
    } else {
        FloatProduct<WideBf16Lanes>(matrix, operand.bf16, operand.rows, target).run(begin, end);
    }
}

}  // namespace homeport::avx512
