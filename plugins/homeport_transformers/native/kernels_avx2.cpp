// The kernels for AVX2, with and without VNNI, which only products of packed matrices know.
#include <algorithm>
#include <type_traits>

#include "cache.hpp"
#include "kernels.hpp"
#include "lanes_avx2.hpp"
#include "matmul.hpp"

namespace homeport {
namespace avx2 {
namespace {

#include "vector_ops.inl"
// Behind the functions that they use.
#include "attention.inl"
#include "cache_write.inl"

}  // namespace
}  // namespace avx2

static constexpr Kernels kAvx2{
    .isa = HP_AVX2,
    .quantise = avx2::quantise,
    .residual = avx2::residual,
    .to_bf16 = avx2::to_bf16,
    .matmul = avx2::matmul,
    .expand_row = avx2::expand_row,
    .rms_norm = avx2::rms_norm,
    .rotate = avx2::rotate,
    .gate = avx2::gate,
    .add = avx2::add,
    .cache_write = avx2::cache_write,
    .attend = avx2::attend,
    .softcap = avx2::softcap,
};

const Kernels* avx2_kernels() { return &kAvx2; }

const Kernels* avx2_vnni_kernels() {
    static constexpr Kernels kernels = [] {
        Kernels with_vnni = kAvx2;
        with_vnni.isa = HP_AVX2_VNNI;
        with_vnni.matmul = avx2_vnni::matmul;
        return with_vnni;
    }();
    return &kernels;
}

}  // namespace homeport
