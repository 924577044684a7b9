// CPU features by CPUID; registers that the system does not save (XCR0) count as missing.
#include "features.hpp"

#include <initializer_list>

#include "abi.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace homeport {
namespace {

#if defined(__x86_64__)

// Bits of XCR0, Intel SDM volume 1 section 13.3.
constexpr unsigned kXmmYmm = 0x6;
constexpr unsigned kZmm = 0xe0;
constexpr unsigned kTiles = 0x60000;

struct Registers {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf) {
    Registers r;
    if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return Registers{};
    return r;
}

constexpr bool has(unsigned flags, std::initializer_list<int> bits) {
    for (const int bit : bits) {
        if ((flags >> bit & 1) == 0) return false;
    }
    return true;
}

unsigned enabled_state() {
    unsigned low = 0;
    unsigned high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

CpuFeatures detect() {
    const Registers basic = cpuid(1, 0);
    CpuFeatures found;
    if (!has(basic.ecx, {27 /* OSXSAVE */, 28 /* AVX */})) return found;
    const unsigned state = enabled_state();
    if ((state & kXmmYmm) != kXmmYmm) return found;
    const Registers extended = cpuid(7, 0);
    const Registers more = cpuid(7, 1);
    found.avx2 = has(basic.ecx, {12 /* FMA */, 29 /* F16C */}) && has(extended.ebx, {5});
    found.avx_vnni = found.avx2 && has(more.eax, {4});
    found.avx512 = found.avx2 && (state & kZmm) == kZmm &&
                   has(extended.ebx, {16 /* F */, 17 /* DQ */, 30 /* BW */, 31 /* VL */}) &&
                   has(extended.ecx, {11 /* VNNI */});
    found.avx512_bf16 = found.avx512 && has(more.eax, {5});
    found.amx = found.avx512_bf16 && (state & kTiles) == kTiles &&
                has(extended.edx, {22 /* BF16 */, 24 /* TILE */, 25 /* INT8 */});
    return found;
}

#else

CpuFeatures detect() { return {}; }

#endif

}  // namespace

const CpuFeatures& cpu_features() {
    static const CpuFeatures features = detect();
    return features;
}

bool runs_here(int isa) {
    const CpuFeatures& features = cpu_features();
    switch (isa) {
        case HP_AVX2:
            return features.avx2;
        case HP_AVX2_VNNI:
            return features.avx_vnni;
        case HP_AVX512:
            return features.avx512;
        case HP_AMX:
            return features.amx;
        default:
            return false;
    }
}

}  // namespace homeport
