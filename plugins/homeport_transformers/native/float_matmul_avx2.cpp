// Products with float and bfloat16 matrices on AVX2.
#include <utility>

#include "intrinsics.hpp"
#include "matmul.hpp"

namespace homeport::avx2 {

#include "float_product.inl"

namespace {

struct Sums {
    using Sum = __m256;
    using Loaded = __m256;
    static constexpr int kRows = 2;
    static Sum zero() { return _mm256_setzero_ps(); }
    static Sum add_products(Sum sum, Loaded a, Loaded b) { return _mm256_fmadd_ps(a, b, sum); }
    static __m128 fold(Sum sum) {
        return _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
    }
};

struct FloatLanes : Sums {
    using Element = float;
    static constexpr int kWidth = 8, kParts = 1;
    template <int kPart>
    static Loaded load(const float* from) {
        return _mm256_loadu_ps(from);
    }
};

// Even elements and then odd ones, each as the high half of a float: both at once are too many registers.
struct Bf16Lanes : Sums {
    using Element = uint16_t;
    static constexpr int kWidth = 16, kParts = 2;
    template <int kPart>
    static Loaded load(const uint16_t* from) {
        const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        if constexpr (kPart == 0) return _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
        const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000));
        return _mm256_castsi256_ps(_mm256_and_si256(both, high));
    }
};

}  // namespace

void float_matmul(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end) {
    if (matrix.kind == HP_F32) {
        FloatProduct<FloatLanes>(matrix, operand.values, operand.rows, target).run(begin, end);
    } else {
        FloatProduct<Bf16Lanes>(matrix, operand.bf16, operand.rows, target).run(begin, end);
    }
}

}  // namespace homeport::avx2
