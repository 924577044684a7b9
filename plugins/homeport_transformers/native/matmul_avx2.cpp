// Packed matrix products on AVX2.
#include "matmul_avx2.inl"
