// The kernels of this build by instruction set.
#include "kernels.hpp"

namespace homeport {

const Kernels* kernels_of(int isa) {
    switch (isa) {
        case HP_AVX2:
            return avx2_kernels();
        case HP_AVX2_VNNI:
            return avx2_vnni_kernels();
        case HP_AVX512:
            return avx512_kernels();
        case HP_AMX:
            return amx_kernels();
        default:
            return nullptr;
    }
}

}  // namespace homeport
