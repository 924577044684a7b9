// Products and what prepares their inputs, for the property tests, which reach them by ctypes. Not part of
// the interface in abi.h.
//
// All return 0, or -1 where this CPU or this build does not have the instruction set.
#include <cstdint>

#include "aligned.hpp"
#include "features.hpp"
#include "kernels.hpp"
#include "matmul.hpp"

#define HP_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

// Where there is no AMX its products run on emulated tiles.
const homeport::Kernels* usable_kernels(int isa) {
    using namespace homeport;
    if (runs_here(isa)) return kernels_of(isa);
    if (isa != HP_AMX || !runs_here(HP_AVX512) || !avx512_kernels()) return nullptr;
    static const Kernels emulated = [] {
        Kernels kernels = *avx512_kernels();
        kernels.matmul = emulated_amx::matmul;
        return kernels;
    }();
    return &emulated;
}

}  // namespace

HP_EXPORT int32_t hp_test_multiplies(int32_t isa) { return usable_kernels(isa) ? 0 : -1; }

// A product's inputs in all forms, and its target; mirrored in test_matmul.py.
struct HpTestProduct {
    const float* values;
    const uint16_t* bf16;
    const int8_t* codes;
    const float* scales;
    const int32_t* sums;
    const float* bias;
    float* out;
    int64_t stride;
    int32_t rows;
    int32_t accumulate;
    int32_t begin;
    int32_t end;
};

HP_EXPORT int32_t hp_test_matmul(int32_t isa, const HpMatrix* matrix, const HpTestProduct* product) {
    const homeport::Kernels* kernels = usable_kernels(isa);
    if (!kernels) return -1;
    const homeport::AlignedBuffer<uint8_t> scratch(homeport::kScratchBytes);
    const homeport::Operand operand{product->rows, matrix->cols,   matrix->group,   product->values,
                                    product->bf16, product->codes, product->scales, product->sums};
    const homeport::Target target{product->out, static_cast<ptrdiff_t>(product->stride), product->bias,
                                  product->accumulate != 0};
    kernels->matmul(*matrix, operand, target, product->begin, product->end,
                    {scratch.data(), homeport::kScratchBytes});
    return 0;
}

HP_EXPORT int32_t hp_test_quantise(int32_t isa, const float* values, int32_t cols, int32_t group,
                                   int8_t* codes, float* scales, int32_t* sums) {
    const homeport::Kernels* kernels = usable_kernels(isa);
    if (!kernels) return -1;
    kernels->quantise(values, cols, group, codes, scales, sums);
    return 0;
}

HP_EXPORT int32_t hp_test_to_bf16(int32_t isa, const float* values, int32_t cols, uint16_t* out) {
    const homeport::Kernels* kernels = usable_kernels(isa);
    if (!kernels) return -1;
    kernels->to_bf16(values, cols, out);
    return 0;
}

HP_EXPORT int32_t hp_test_expand_row(int32_t isa, const HpMatrix* matrix, int32_t row, float factor,
                                     float* out) {
    const homeport::Kernels* kernels = usable_kernels(isa);
    if (!kernels) return -1;
    kernels->expand_row(*matrix, row, factor, out);
    return 0;
}
