// Rows on their way into products, in each form that the products want.
#include "inputs.hpp"

#include <algorithm>
#include <cstring>

namespace homeport {

Inputs::Form Inputs::form_of(const HpMatrix& matrix) {
    if (matrix.kind == HP_F32) return kValues;
    if (matrix.kind == HP_BF16) return kBf16;
    return matrix.group == kMaxGroup ? kGroups64 : kGroups32;
}

void Inputs::shape(int rows, int cols, std::initializer_list<const HpMatrix*> readers) {
    cols_ = cols;
    std::fill(std::begin(wanted_), std::end(wanted_), false);
    for (const HpMatrix* matrix : readers) wanted_[form_of(*matrix)] = true;
    const size_t size = static_cast<size_t>(rows) * cols;
    if (wanted_[kValues]) values_.reserve(size);
    if (wanted_[kBf16]) bf16_.reserve(size);
    for (int index = 0; index < 2; ++index) {
        if (!wanted_[kGroups32 + index]) continue;
        for (int plane = 0; plane < planes_; ++plane) {
            Groups& groups = groups_[index][plane];
            groups.codes.reserve(size);
            groups.scales.reserve(size / group_of(index));
            groups.sums.reserve(size / group_of(index));
        }
    }
}

void Inputs::fill(const Kernels& kernels, int row, int first, int count, const float* source) {
    const size_t place = static_cast<size_t>(row) * cols_ + first;
    if (wanted_[kValues] && values_.at(place) != source) {
        std::memcpy(values_.at(place), source, sizeof(float) * count);
    }
    if (wanted_[kBf16]) kernels.to_bf16(source, count, bf16_.at(place));
    for (int index = 0; index < 2; ++index) {
        if (!wanted_[kGroups32 + index]) continue;
        for (int done = 0; done < count; done += kMostQuantised) {
            quantise(kernels, index, place + done, std::min(kMostQuantised, count - done), source + done);
        }
    }
}

void Inputs::quantise(const Kernels& kernels, int index, size_t place, int count, const float* source) {
    const int group = group_of(index);
    float residual[kMostQuantised];
    const float* rest = source;
    for (int plane = 0; plane < planes_; ++plane) {
        const Groups& groups = groups_[index][plane];
        int8_t* codes = groups.codes.at(place);
        float* scales = groups.scales.at(place / group);
        kernels.quantise(rest, count, group, codes, scales, groups.sums.at(place / group));
        if (plane + 1 == planes_) return;
        kernels.residual(rest, count, group, codes, scales, residual);
        rest = residual;
    }
}

void Inputs::multiply(const Kernels& kernels, const HpMatrix& matrix, int rows, const Target& target,
                      int begin, int end, Scratch scratch) const {
    kernels.matmul(matrix, operand(matrix, rows, 0), target, begin, end, scratch);
    if (planes_ == 1 || matrix.kind < HP_Q8) return;
    // The weights of these strips are still in a cache: the second pass reads no memory.
    Target rest = target;
    rest.bias = nullptr;
    rest.accumulate = true;
    kernels.matmul(matrix, operand(matrix, rows, 1), rest, begin, end, scratch);
}

Operand Inputs::operand(const HpMatrix& matrix, int rows, int plane) const {
    Operand operand{.rows = rows, .cols = cols_, .group = matrix.group};
    switch (form_of(matrix)) {
        case kValues:
            operand.values = values_.data();
            break;
        case kBf16:
            operand.bf16 = bf16_.data();
            break;
        default: {
            const Groups& groups = groups_[matrix.group == kMaxGroup][plane];
            operand.codes = groups.codes.data();
            operand.scales = groups.scales.data();
            operand.sums = groups.sums.data();
        }
    }
    return operand;
}

}  // namespace homeport
