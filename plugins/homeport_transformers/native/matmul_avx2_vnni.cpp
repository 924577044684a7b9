// Packed matrix products on AVX2 with the VNNI of 256-bit vectors.
#include "matmul_avx2.inl"
