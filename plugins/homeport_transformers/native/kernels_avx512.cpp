// The kernels for AVX-512 with VNNI.
#include <algorithm>
#include <type_traits>

#include "cache.hpp"
#include "kernels.hpp"
#include "lanes_avx512.hpp"
#include "matmul.hpp"

namespace homeport {
namespace avx512 {
namespace {

#include "vector_ops.inl"
// Behind the functions that they use.
#include "attention.inl"
#include "cache_write.inl"

}  // namespace
}  // namespace avx512

const Kernels* avx512_kernels() {
    static constexpr Kernels kernels{
        .isa = HP_AVX512,
        .quantise = avx512::quantise,
        .residual = avx512::residual,
        .to_bf16 = avx512::to_bf16,
        .matmul = avx512::matmul,
        .expand_row = avx512::expand_row,
        .rms_norm = avx512::rms_norm,
        .rotate = avx512::rotate,
        .gate = avx512::gate,
        .add = avx512::add,
        .cache_write = avx512::cache_write,
        .attend = avx512::attend,
        .softcap = avx512::softcap,
    };
    return &kernels;
}

}  // namespace homeport
