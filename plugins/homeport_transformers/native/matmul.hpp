// Matrix products and what prepares their inputs, per instruction set; see Kernels for what each does.
#pragma once

#include "kernels.hpp"

namespace homeport::avx2 {
void quantise(const float* values, int cols, int group, int8_t* codes, float* scales, int32_t* sums);
void to_bf16(const float* values, int cols, uint16_t* out);
void expand_row(const HpMatrix& matrix, int row, float factor, float* out);
void matmul(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end,
            Scratch scratch);
// matmul of float matrices; matmul calls it.
void float_matmul(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end);
}  // namespace homeport::avx2

// Other sets have no use for their own forms of these: they are a hundredth of the work.
namespace homeport::avx2_vnni {
using avx2::float_matmul;
void matmul(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end,
            Scratch scratch);
}  // namespace homeport::avx2_vnni

namespace homeport::avx512 {
using avx2::expand_row;
using avx2::quantise;
using avx2::to_bf16;
void matmul(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end,
            Scratch scratch);
void float_matmul(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end);
}  // namespace homeport::avx512

namespace homeport::amx {
void matmul(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end,
            Scratch scratch);
}  // namespace homeport::amx

// For tests: the same on tiles that are arrays.
namespace homeport::emulated_amx {
void matmul(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end,
            Scratch scratch);
}  // namespace homeport::emulated_amx
