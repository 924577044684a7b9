// How keys and values of one head of one slot lie in the cache.
//
// Keys and values have a region each, as long as the context allows, so that a position never moves.
// Positions past the end of a sequence hold anything, as do the padding lanes of values.
//
// Keys: blocks of 16 positions, which lie in the lanes of a vector.
//     HP_F32   float    [block][head_dim][16]
//     HP_BF16  bfloat16 [block][head_dim / 2][16][2]
// Values: rows of one position, padded to whole vectors of 16.
//     HP_F32   float    [position][padded]
//     HP_BF16  bfloat16 [position][padded]
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi.h"
#include "kernels.hpp"

namespace homeport {

constexpr int kMostHeadDim = 512;  // see HpModel

// These functions have internal linkage: a copy compiled for AVX-512 must never be the one that the linker
// keeps for everybody.

static constexpr size_t cache_element_bytes(int kind) {
    return kind == HP_F32 ? sizeof(float) : sizeof(uint16_t);
}

// Elements from the value of one position to that of the next.
static constexpr size_t value_stride(int head_dim) {
    return (static_cast<size_t>(head_dim) + kCacheBlock - 1) / kCacheBlock * kCacheBlock;
}

// Bytes of keys that hold the first so many positions, in whole blocks.
static constexpr size_t cache_key_bytes(int kind, int head_dim, int positions) {
    const size_t blocks = (static_cast<size_t>(positions) + kCacheBlock - 1) / kCacheBlock;
    return blocks * kCacheBlock * head_dim * cache_element_bytes(kind);
}

// Bytes of values that hold the first so many positions.
static constexpr size_t cache_value_bytes(int kind, int head_dim, int positions) {
    return positions * value_stride(head_dim) * cache_element_bytes(kind);
}

}  // namespace homeport
