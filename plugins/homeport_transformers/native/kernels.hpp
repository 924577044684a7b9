// What each instruction set provides, and the values that its kernels work on.
//
// Every kernel is batch-invariant: what it computes for one row does not depend, to the last bit, on the rows
// beside it or on how a prompt was cut into steps. Greedy answers are equal alone and in a crowd because of
// it, and speculation is exact.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi.h"

namespace homeport {

constexpr int kStripRows = 16;  // outputs that lie side by side in a packed matrix
constexpr int kMaxGroup = 64;

constexpr int strip_count(int rows) { return (rows + kStripRows - 1) / kStripRows; }

// Most strips of one task, for so many rows of inputs. A task's first strips come from memory unannounced, so
// tasks are long where memory is what takes time; with more rows what they write has to stay in a cache.
constexpr int most_strips_per_task(int rows) { return rows <= 16 ? 32 : 8; }

// Inputs of a product, in the form that the kind of its matrix wants. Pointers that it does not want are
// null.
struct Operand {
    int rows = 0;
    int cols = 0;
    int group = 0;                   // of codes
    const float* values = nullptr;   // [rows][cols], for HP_F32
    const uint16_t* bf16 = nullptr;  // [rows][cols], for HP_BF16
    const int8_t* codes = nullptr;   // [rows][cols], for packed matrices: -127..127
    const float* scales = nullptr;   // [rows][cols / group]
    const int32_t* sums = nullptr;   // [rows][cols / group], of the codes
};

// Where a product goes: row m, output n is at data[m * stride + n].
struct Target {
    float* data = nullptr;
    ptrdiff_t stride = 0;
    const float* bias = nullptr;  // [outputs]; added when not null
    bool accumulate = false;      // add to what is there
};

// Memory of one thread for unpacked weights, 64-byte aligned.
struct Scratch {
    uint8_t* data = nullptr;
    size_t size = 0;
};

// Bytes of Scratch that a product with such a matrix may use.
constexpr size_t kScratchBytes = 1024 * 1024;

// Keys and values of one head of one slot; see cache.hpp for the layout.
struct HeadCache {
    const void* keys = nullptr;
    const void* values = nullptr;
};

struct AttentionShape {
    int cache_kind = HP_BF16;
    int head_dim = 0;
    int query_heads = 1;   // that share this key head
    int window = 0;        // 0 is all
    float scale = 1.0f;    // of scores
    float softcap = 0.0f;  // 0 is off
};

struct Kernels {
    int isa;

    // Quantise one row by groups: codes to nearest, scale = largest magnitude / 127.
    void (*quantise)(const float* values, int cols, int group, int8_t* codes, float* scales, int32_t* sums);
    // out = values - codes * scales: what quantise rounded away.
    void (*residual)(const float* values, int cols, int group, const int8_t* codes, const float* scales,
                     float* out);
    // Round one row to bfloat16, to nearest even.
    void (*to_bf16)(const float* values, int cols, uint16_t* out);
    // Outputs of strips [begin, end) for all rows of the operand.
    void (*matmul)(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end,
                   Scratch scratch);
    // One row of a matrix as float, times a factor: embeddings.
    void (*expand_row)(const HpMatrix& matrix, int row, float factor, float* out);

    // out = values / rms(values) * weight; out may be values.
    void (*rms_norm)(const float* values, const float* weight, int size, float epsilon, float* out);
    // Turn the first rotary_dim components of one head in place; table is cosine, sine per pair.
    void (*rotate)(float* head, const float* table, int rotary_dim);
    // gate = activation(gate) * up.
    void (*gate)(float* gate, const float* up, int size, int activation);
    void (*add)(float* values, const float* others, int size);

    // Write key and value of one head at a position.
    void (*cache_write)(const AttentionShape& shape, void* keys, void* values, int position, const float* key,
                        const float* value);
    // Attention of `tokens` neighbouring tokens at positions start, start + 1, ... that share a key head.
    // Query and output of token t, head h are at [t * stride + h * head_dim].
    void (*attend)(const AttentionShape& shape, const HeadCache& cache, int start, int tokens,
                   const float* queries, ptrdiff_t stride, float* output, ptrdiff_t output_stride,
                   Scratch scratch);
    // values = cap * tanh(values / cap).
    void (*softcap)(float* values, int size, float cap);
};

// Only for CPUs that have the instruction set: see runs_here.
const Kernels* avx2_kernels();
const Kernels* avx2_vnni_kernels();
const Kernels* avx512_kernels();
const Kernels* amx_kernels();
// By enum HpIsa; null for any other number.
const Kernels* kernels_of(int isa);

constexpr int kCacheBlock = 16;  // positions whose keys lie side by side in the cache

}  // namespace homeport
