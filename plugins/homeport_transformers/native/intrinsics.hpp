// <immintrin.h> without its warnings.
#pragma once

#pragma GCC diagnostic push
// gcc < 13 takes the undefined operands of its own intrinsics for mistakes of ours (its bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
