// The kernels for AMX: those for AVX-512, but for the products. Compiled for any CPU, hence the name.
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "features.hpp"
#include "kernels.hpp"
#include "matmul.hpp"

namespace homeport {

namespace {

// Linux gives tile registers to processes that ask for them: arch/x86/include/uapi/asm/prctl.h.
bool allow_tiles() {
    constexpr long kRequestPermission = 0x1023, kTileData = 18;
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// Whether the tiles of this machine give what AVX-512 gives, to the bit: a hypervisor may promise registers
// that it does not keep.
bool tiles_agree() {
    constexpr int kRows = 48, kOutputs = 64, kCols = 256, kGroup = 32, kGroups = kCols / kGroup;
    std::vector<uint8_t> weights(kOutputs * kCols / 2);
    std::vector<uint16_t> scales(kOutputs * kGroups, 0x2c00);  // 1/16 as float16
    std::vector<int8_t> codes(kRows * kCols);
    std::vector<float> input_scales(kRows * kGroups, 0.5F);
    std::vector<int32_t> sums(kRows * kGroups);
    for (size_t index = 0; index < weights.size(); ++index) weights[index] = static_cast<uint8_t>(index * 37);
    for (size_t index = 0; index < codes.size(); ++index) {
        codes[index] = static_cast<int8_t>(static_cast<int>(index * 73 % 255) - 127);
        sums[index / kGroup] += codes[index];
    }
    const HpMatrix matrix{HP_Q4, kOutputs, kCols, kGroup, weights.data(), scales.data(), nullptr};
    const Operand operand{.rows = kRows,
                          .cols = kCols,
                          .group = kGroup,
                          .codes = codes.data(),
                          .scales = input_scales.data(),
                          .sums = sums.data()};
    std::vector<float> expected(kRows * kOutputs), found(kRows * kOutputs);
    std::vector<uint8_t> memory(kScratchBytes + 64);
    uint8_t* aligned = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64);
    const Scratch scratch{aligned, kScratchBytes};
    constexpr int kStrips = kOutputs / kStripRows;
    avx512::matmul(matrix, operand, {expected.data(), kOutputs}, 0, kStrips, scratch);
    amx::matmul(matrix, operand, {found.data(), kOutputs}, 0, kStrips, scratch);
    return std::memcmp(expected.data(), found.data(), sizeof(float) * expected.size()) == 0;
}

Kernels make_kernels() {
    Kernels kernels = *avx512_kernels();
    kernels.isa = HP_AMX;
    kernels.matmul = amx::matmul;
    return kernels;
}

}  // namespace

const Kernels* amx_kernels() {
    static const Kernels kernels = make_kernels();
    static const bool usable = runs_here(HP_AMX) && allow_tiles() && tiles_agree();
    return usable ? &kernels : nullptr;
}

}  // namespace homeport
