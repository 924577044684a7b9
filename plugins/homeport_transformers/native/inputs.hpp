// Rows on their way into products, in each form that the products want.
#pragma once

#include <initializer_list>

#include "aligned.hpp"
#include "kernels.hpp"

namespace homeport {

// Holds the same rows as float, as bfloat16 and as int8 codes by groups of 32 or 64: those forms that the
// matrices that read them want, and no others. Codes come in one plane or in two: the second holds what the
// first rounds away, which makes about 16 bits, and the product with a packed matrix is the sum of both.
class Inputs {
public:
    explicit Inputs(int planes = 1) : planes_(planes) {}

    // Makes room for rows of so many columns that these matrices will read.
    void shape(int rows, int cols, std::initializer_list<const HpMatrix*> readers);

    // Whether the readers want the values themselves.
    bool wants_values() const { return wanted_[kValues]; }
    float* values(int row) const { return values_.at(static_cast<size_t>(row) * cols_); }

    // Brings columns [first, first + count) of one row into all other forms. Both are multiples of kMaxGroup
    // or reach the end of the row. source may be values(row) + first.
    void fill(const Kernels& kernels, int row, int first, int count, const float* source);

    // Outputs of strips [begin, end) for the first so many rows.
    void multiply(const Kernels& kernels, const HpMatrix& matrix, int rows, const Target& target, int begin,
                  int end, Scratch scratch) const;

private:
    static constexpr int kMostPlanes = 2;
    static constexpr int kMostQuantised = 16 * kMaxGroup;  // values at once
    enum Form { kValues, kBf16, kGroups32, kGroups64, kForms };
    struct Groups {
        AlignedBuffer<int8_t> codes;
        AlignedBuffer<float> scales;
        AlignedBuffer<int32_t> sums;
    };

    void quantise(const Kernels& kernels, int index, size_t place, int count, const float* source);
    Operand operand(const HpMatrix& matrix, int rows, int plane) const;
    static Form form_of(const HpMatrix& matrix);
    static int group_of(int index) { return index == 0 ? 32 : kMaxGroup; }

    int planes_;
    int cols_ = 0;
    bool wanted_[kForms] = {};
    AlignedBuffer<float> values_;
    AlignedBuffer<uint16_t> bf16_;
    Groups groups_[2][kMostPlanes];
};

}  // namespace homeport
