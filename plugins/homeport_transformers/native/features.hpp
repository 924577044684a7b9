// What this CPU can run, as the operating system allows it.
#pragma once

namespace homeport {

struct CpuFeatures {
    bool avx2 = false;         // with FMA and F16C
    bool avx_vnni = false;     // VNNI on 256-bit vectors without AVX-512
    bool avx512 = false;       // F, BW, VL, DQ and VNNI
    bool avx512_bf16 = false;  // vdpbf16ps
    bool amx = false;          // tiles with INT8 and BF16
};

// Asked of the CPU once.
const CpuFeatures& cpu_features();

// Whether kernels of an instruction set (enum HpIsa) may run here. They are no ladder: many CPUs have AVX-512
// but not the VNNI of 256-bit vectors.
bool runs_here(int isa);

}  // namespace homeport
