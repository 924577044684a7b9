// Tile registers: those of AMX, and a stand-in so that what is built on them is tested on any machine.
//
// multiply() takes 16 input rows of kDepth signed codes, and kDepth columns of a strip of signed codes: 64
// bytes are 16 rows times 4 columns, as in a packed matrix. It gives 16 x 16 integers, by input row and strip
// row, in one of kSlots places, where they stay until they are stored: one takes long, but several overlap.
#pragma once

#include <cstddef>
#include <cstdint>

namespace homeport {

constexpr int kTileSide = 16;
constexpr int kTileSums = kTileSide * kTileSide;

namespace {

constexpr long kTileRowBytes = 64;

// The tile registers of this thread, while it lives.
template <int kDepth>
class AmxTiles {
public:
    static constexpr int kSlots = 4;

    AmxTiles() {
        Configuration configuration;
        for (int slot = 0; slot < kSlots; ++slot) configuration.set(slot, kTileSide, kTileRowBytes);
        for (int side = 0; side < 2; ++side) {
            configuration.set(kInputs + side, kTileSide, kDepth);
            configuration.set(kStrip + side, kDepth / 4, kTileRowBytes);
        }
        // Assembler throughout: gcc's intrinsics do not say that they read and write memory, so that it drops
        // stores before them.
        asm volatile("ldtilecfg %0" : : "m"(configuration));
    }
    ~AmxTiles() { asm volatile("tilerelease"); }
    AmxTiles(const AmxTiles&) = delete;
    AmxTiles& operator=(const AmxTiles&) = delete;

    template <int kSlot>
    void multiply(const int8_t* inputs, ptrdiff_t input_stride, const int8_t* strip) {
        constexpr int kSide = kSlot % 2;
        asm volatile(
            "tilezero %%tmm%c0\n\t"
            "tileloadd (%3,%4,1), %%tmm%c1\n\t"
            "tileloadd (%5,%6,1), %%tmm%c2\n\t"
            "tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0"
            :
            : "i"(kSlot), "i"(kInputs + kSide), "i"(kStrip + kSide), "r"(inputs), "r"(input_stride),
              "r"(strip), "r"(kTileRowBytes)
            : "memory");
    }

    template <int kSlot>
    void store(int32_t* out) {
        asm volatile("tilestored %%tmm%c0, (%1,%2,1)"
                     :
                     : "i"(kSlot), "r"(out), "r"(kTileRowBytes)
                     : "memory");
    }

private:
    // Behind the slots; two of each, so that loads need not wait for the product before.
    static constexpr int kInputs = 4, kStrip = 6;

    // What ldtilecfg reads: palette 1 of the Intel 64 Software Developer's Manual, volume 1, chapter 18.
    struct Configuration {
        uint8_t palette = 1;
        uint8_t start_row = 0;
        uint8_t reserved[14] = {};
        uint16_t row_bytes[16] = {};
        uint8_t rows[16] = {};

        void set(int index, int tile_rows, int bytes) {
            rows[index] = static_cast<uint8_t>(tile_rows);
            row_bytes[index] = static_cast<uint16_t>(bytes);
        }
    };
    static_assert(sizeof(Configuration) == 64);
};

template <int kDepth>
class EmulatedTiles {
public:
    static constexpr int kSlots = 4;

    template <int kSlot>
    void multiply(const int8_t* inputs, ptrdiff_t input_stride, const int8_t* strip) {
        for (int i = 0; i < kTileSums; ++i) {
            const int8_t* input = inputs + i / kTileSide * input_stride;
            const int8_t* weights = strip + i % kTileSide * 4;
            sums_[kSlot][i] = 0;
            for (int k = 0; k < kDepth; ++k) {
                sums_[kSlot][i] += input[k] * weights[k / 4 * kTileRowBytes + k % 4];
            }
        }
    }

    template <int kSlot>
    void store(int32_t* out) {
        __builtin_memcpy(out, sums_[kSlot], sizeof sums_[kSlot]);
    }

private:
    int32_t sums_[kSlots][kTileSums];
};

}  // namespace

}  // namespace homeport
