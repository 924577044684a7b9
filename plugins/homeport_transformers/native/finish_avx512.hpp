// Where 16 outputs of one row go.
#pragma once

#include "intrinsics.hpp"
#include "kernels.hpp"

namespace homeport {

// Adds the bias and what is there, where the target wants it, and writes the first `outputs` of them.
static inline void finish(const Target& target, int row, int first, int outputs, __m512 sum) {
    const __mmask16 mask = static_cast<__mmask16>(outputs >= kStripRows ? 0xffff : (1U << outputs) - 1);
    float* out = target.data + row * target.stride + first;
    if (target.bias) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, target.bias + first));
    if (target.accumulate) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), sum);
    _mm512_mask_storeu_ps(out, mask, sum);
}

}  // namespace homeport
