// Inputs of products from float rows, and rows of matrices as float, for all instruction sets.
#include "intrinsics.hpp"
#include "matmul.hpp"

namespace homeport::avx2 {

namespace {

constexpr int kLargestCode = 127;
// 2^-100. Groups below it become zero: their scales would be denormal, which makes products crawl.
constexpr float kLeastMagnitude = 0x1p-100f;
constexpr int32_t kInfinityBits = 0x7f800000;

int32_t largest(__m256i x) {
    const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    const __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 1)));
}

int32_t total(__m256i x) {
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

// Bits of the largest magnitude. As integers, because a maximum of floats forgets NaN.
int32_t magnitude_bits(const float* values, int count) {
    const __m256i positive = _mm256_set1_epi32(INT32_MAX);
    __m256i most = _mm256_setzero_si256();
    for (int i = 0; i < count; i += 8) {
        const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + i));
        most = _mm256_max_epi32(most, _mm256_and_si256(bits, positive));
    }
    return largest(most);
}

// Codes of 32 values; adds them to sums, lane by lane.
__m256i encode(const float* values, __m256 factor, __m256i& sums) {
    __m256i codes[4];
    for (int i = 0; i < 4; ++i) {
        codes[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(values + 8 * i), factor));
        sums = _mm256_add_epi32(sums, codes[i]);
    }
    const __m256i bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(codes[0], codes[1]), _mm256_packs_epi32(codes[2], codes[3]));
    // Packing works on each half by itself: bring the quarters back in line.
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

}  // namespace

// A group with NaN or infinity gets the scale NaN, and makes all outputs of its row NaN.
void quantise(const float* values, int cols, int group, int8_t* codes, float* scales, int32_t* sums) {
    for (int first = 0; first < cols; first += group, ++scales, ++sums) {
        const int32_t bits = magnitude_bits(values + first, group);
        const float most = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
        const bool finite = bits < kInfinityBits, zero = most < kLeastMagnitude;
        *scales = !finite ? __builtin_nanf("") : zero ? 0.0f : most / kLargestCode;
        *sums = 0;
        if (!finite || zero) {
            __builtin_memset(codes + first, 0, group);
            continue;
        }
        const __m256 factor = _mm256_set1_ps(kLargestCode / most);
        __m256i lanes = _mm256_setzero_si256();
        for (int i = first; i < first + group; i += 32) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i), encode(values + i, factor, lanes));
        }
        *sums = total(lanes);
    }
}

void to_bf16(const float* values, int cols, uint16_t* out) {
    for (int i = 0; i < cols; ++i) {
        uint32_t bits;
        __builtin_memcpy(&bits, values + i, sizeof bits);
        const uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        // Rounding could carry NaN into infinity.
        const uint32_t not_a_number = bits >> 16 | 0x40;
        out[i] = static_cast<uint16_t>((bits & INT32_MAX) > kInfinityBits ? not_a_number : nearest);
    }
}

namespace {

constexpr size_t kLineBytes = 64;

struct Scaling {
    float offset, scale, min, factor;
};

float half_to_float(uint16_t half) { return _cvtsh_ss(half); }

float bf16_to_float(uint16_t half) {
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int32_t>(half) << 16)));
}

// ((code - offset) * scale + min) * factor of eight codes.
void expand(__m128i codes, const Scaling& scaling, float* out) {
    const __m256 value =
        _mm256_sub_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes)), _mm256_set1_ps(scaling.offset));
    const __m256 whole = _mm256_fmadd_ps(value, _mm256_set1_ps(scaling.scale), _mm256_set1_ps(scaling.min));
    _mm256_storeu_ps(out, _mm256_mul_ps(whole, _mm256_set1_ps(scaling.factor)));
}

// Codes of eight neighbouring columns; the row's first four bytes are here, others a line on.
__m128i eight_codes(const uint8_t* here, bool nibbles) {
    uint32_t low, high;
    __builtin_memcpy(&low, here, sizeof low);
    if (nibbles) return _mm_set_epi32(0, 0, low >> 4 & 0x0f0f0f0f, low & 0x0f0f0f0f);
    __builtin_memcpy(&high, here + kLineBytes, sizeof high);
    return _mm_set_epi32(0, 0, high, low);
}

void expand_packed(const HpMatrix& matrix, int row, float factor, float* out) {
    const bool nibbles = matrix.kind != HP_Q8, has_min = matrix.kind == HP_Q4_MIN;
    const float offset = has_min ? 0.0f : nibbles ? 8.0f : 128.0f;
    const size_t strip = row / kStripRows, lane = row % kStripRows, groups = matrix.cols / matrix.group;
    const size_t eight_bytes = nibbles ? kLineBytes : 2 * kLineBytes;
    const uint8_t* codes =
        static_cast<const uint8_t*>(matrix.codes) + strip * (matrix.cols / 8) * eight_bytes + 4 * lane;
    for (size_t group = 0; group < groups; ++group) {
        const size_t place = (strip * groups + group) * kStripRows + lane;
        const Scaling scaling{offset, half_to_float(matrix.scales[place]),
                              has_min ? half_to_float(matrix.mins[place]) : 0.0f, factor};
        for (int i = 0; i < matrix.group; i += 8, out += 8, codes += eight_bytes) {
            expand(eight_codes(codes, nibbles), scaling, out);
        }
    }
}

}  // namespace

void expand_row(const HpMatrix& matrix, int row, float factor, float* out) {
    const size_t first = static_cast<size_t>(row) * matrix.cols;
    if (matrix.kind == HP_F32) {
        const float* values = static_cast<const float*>(matrix.codes) + first;
        for (int i = 0; i < matrix.cols; ++i) out[i] = values[i] * factor;
    } else if (matrix.kind == HP_BF16) {
        const uint16_t* values = static_cast<const uint16_t*>(matrix.codes) + first;
        for (int i = 0; i < matrix.cols; ++i) out[i] = bf16_to_float(values[i]) * factor;
    } else {
        expand_packed(matrix, row, factor, out);
    }
}

}  // namespace homeport::avx2
