// Packed matrix products on tile registers: 16 input rows with a strip at a time, exact integers per group,
// then the arithmetic of AVX-512 without tiles. Both give the same bits, so rows that fill no tile go there.

namespace {

constexpr int kBlock = 32;

// A strip as tiles and vectors want it, in scratch memory.
struct OpenStrip {
    int8_t* codes;  // [cols / 4][16][4], signed
    float* scales;  // [cols / group][16]
    float* mins;    // the same, null for symmetric kinds
};

inline size_t open_strip_bytes(const HpMatrix& matrix) {
    const size_t cols = matrix.cols, groups = cols / matrix.group;
    return cols * kStripRows + 2 * groups * kStripRows * sizeof(float);
}

inline OpenStrip place_strip(const HpMatrix& matrix, Scratch scratch) {
    const size_t codes = static_cast<size_t>(matrix.cols) * kStripRows;
    float* scales = reinterpret_cast<float*>(scratch.data + codes);
    float* mins = scales + static_cast<size_t>(matrix.cols / matrix.group) * kStripRows;
    return {reinterpret_cast<int8_t*>(scratch.data), scales, matrix.kind == HP_Q4_MIN ? mins : nullptr};
}

inline void widen(const uint16_t* halves, size_t count, float* out) {
    for (size_t i = 0; i < count; i += kStripRows) {
        const __m256i packed = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves + i));
        _mm512_store_ps(out + i, _mm512_cvtph_ps(packed));
    }
}

inline void open_nibbles(const uint8_t* codes, size_t bytes, int offset, int8_t* out) {
    const __m512i low = _mm512_set1_epi8(15), zero = _mm512_set1_epi8(static_cast<char>(offset));
    for (size_t i = 0; i < bytes; i += 64) {
        const __m512i both = _mm512_loadu_si512(codes + i);
        const __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        _mm512_store_si512(out + 2 * i, _mm512_sub_epi8(_mm512_and_si512(both, low), zero));
        _mm512_store_si512(out + 2 * i + 64, _mm512_sub_epi8(high, zero));
    }
}

inline void open_bytes(const uint8_t* codes, size_t bytes, int8_t* out) {
    const __m512i sign = _mm512_set1_epi8(-128);
    for (size_t i = 0; i < bytes; i += 64) {
        _mm512_store_si512(out + i, _mm512_xor_si512(_mm512_loadu_si512(codes + i), sign));
    }
}

inline size_t strip_bytes(const HpMatrix& matrix) {
    return static_cast<size_t>(matrix.cols) * kStripRows / (matrix.kind == HP_Q8 ? 1 : 2);
}

inline void open_strip(const HpMatrix& matrix, int strip, const OpenStrip& open) {
    const size_t bytes = strip_bytes(matrix);
    const size_t scales = static_cast<size_t>(matrix.cols / matrix.group) * kStripRows;
    const uint8_t* codes = static_cast<const uint8_t*>(matrix.codes) + strip * bytes;
    if (matrix.kind == HP_Q8) {
        open_bytes(codes, bytes, open.codes);
    } else {
        open_nibbles(codes, bytes, matrix.kind == HP_Q4 ? 8 : 0, open.codes);
    }
    widen(matrix.scales + strip * scales, scales, open.scales);
    if (open.mins) widen(matrix.mins + strip * scales, scales, open.mins);
}

// Fetches a share of what the next strip will be opened from.
inline void fetch(const HpMatrix& matrix, int strip, size_t group) {
    const size_t bytes = strip_bytes(matrix), share = bytes / (matrix.cols / matrix.group);
    const char* codes = static_cast<const char*>(matrix.codes) + strip * bytes + group * share;
    for (size_t i = 0; i < share; i += 64) _mm_prefetch(codes + i, _MM_HINT_T1);
}

// Sixteen rows times one strip.
template <template <int> class Tiles, int kDepth, bool kMin>
class TileProduct {
public:
    TileProduct(const Operand& operand, int row, const OpenStrip& strip)
        : cols_(operand.cols),
          groups_(operand.cols / kDepth),
          codes_(operand.codes + static_cast<size_t>(row) * cols_),
          scales_(operand.scales + row * groups_),
          sums_(operand.sums + row * groups_),
          strip_(strip) {}

    // The tiles work on the next groups while vectors scale those before.
    template <typename Fetch>
    void run(Tiles<kDepth>& tiles, __m512 (&sums)[kTileSide], const Fetch& fetch_group) const {
        alignas(64) int32_t dots[2][kSlots][kTileSums];
        for (int r = 0; r < kTileSide; ++r) sums[r] = _mm512_setzero_ps();
        multiply(tiles, 0, dots[0]);
        for (size_t group = 0; group < groups_; group += kSlots) {
            const size_t next = group + kSlots, turn = group / kSlots % 2;
            if (next < groups_) multiply(tiles, next, dots[1 - turn]);
            for (size_t i = group; i < next && i < groups_; ++i) {
                fetch_group(i);
                scale(i, dots[turn][i - group], sums);
            }
        }
    }

private:
    static constexpr size_t kSlots = Tiles<kDepth>::kSlots;
    static_assert(kSlots == 4);

    void multiply(Tiles<kDepth>& tiles, size_t group, int32_t (&dots)[kSlots][kTileSums]) const {
        const size_t count = groups_ - group;
        multiply_slot<0>(tiles, group);
        if (count > 1) multiply_slot<1>(tiles, group);
        if (count > 2) multiply_slot<2>(tiles, group);
        if (count > 3) multiply_slot<3>(tiles, group);
        tiles.template store<0>(dots[0]);
        if (count > 1) tiles.template store<1>(dots[1]);
        if (count > 2) tiles.template store<2>(dots[2]);
        if (count > 3) tiles.template store<3>(dots[3]);
    }

    template <int kSlot>
    void multiply_slot(Tiles<kDepth>& tiles, size_t group) const {
        const size_t column = (group + kSlot) * kDepth;
        tiles.template multiply<kSlot>(codes_ + column, cols_, strip_.codes + column * kStripRows);
    }

    void scale(size_t group, const int32_t* dots, __m512 (&sums)[kTileSide]) const {
        const __m512 scales = _mm512_load_ps(strip_.scales + group * kStripRows);
#pragma GCC unroll 16
        for (int r = 0; r < kTileSide; ++r) {
            const __m512 input_scale = _mm512_set1_ps(scales_[r * groups_ + group]);
            const __m512 dot = _mm512_cvtepi32_ps(_mm512_load_si512(dots + r * kTileSide));
            sums[r] = _mm512_fmadd_ps(dot, _mm512_mul_ps(scales, input_scale), sums[r]);
            if constexpr (kMin) {
                const __m512 mins = _mm512_load_ps(strip_.mins + group * kStripRows);
                const __m512 sum = _mm512_cvtepi32_ps(_mm512_set1_epi32(sums_[r * groups_ + group]));
                sums[r] = _mm512_fmadd_ps(mins, _mm512_mul_ps(sum, input_scale), sums[r]);
            }
        }
    }

    const size_t cols_, groups_;
    const int8_t* codes_;
    const float* scales_;
    const int32_t* sums_;
    const OpenStrip& strip_;
};

template <template <int> class Tiles, int kDepth, bool kMin>
void tile_rows(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end,
               const OpenStrip& open) {
    Tiles<kDepth> tiles;
    for (int strip = begin; strip < end; ++strip) {
        open_strip(matrix, strip, open);
        const int first = strip * kStripRows;
        for (int row = 0; row + kTileSide <= operand.rows; row += kTileSide) {
            const bool ahead = row == 0 && strip + 1 < end;
            __m512 sums[kTileSide];
            TileProduct<Tiles, kDepth, kMin>(operand, row, open).run(tiles, sums, [&](size_t group) {
                if (ahead) fetch(matrix, strip + 1, group);
            });
            for (int r = 0; r < kTileSide; ++r) {
                finish(target, row + r, first, matrix.rows - first, sums[r]);
            }
        }
    }
}

template <template <int> class Tiles>
void tile_rows(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end,
               const OpenStrip& open) {
    const bool has_min = matrix.kind == HP_Q4_MIN;
    const auto run = matrix.group == kBlock
                         ? (has_min ? tile_rows<Tiles, 32, true> : tile_rows<Tiles, 32, false>)
                         : (has_min ? tile_rows<Tiles, 64, true> : tile_rows<Tiles, 64, false>);
    run(matrix, operand, target, begin, end, open);
}

// The rows that fill no tile.
inline void remaining_rows(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin,
                           int end, Scratch scratch) {
    const size_t first = operand.rows / kTileSide * kTileSide, groups = operand.cols / operand.group;
    Operand rest = operand;
    rest.rows = operand.rows % kTileSide;
    rest.codes += first * operand.cols;
    rest.scales += first * groups;
    rest.sums += first * groups;
    Target there = target;
    there.data += static_cast<ptrdiff_t>(first) * target.stride;
    avx512::matmul(matrix, rest, there, begin, end, scratch);
}

template <template <int> class Tiles>
void tile_matmul(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end,
                 Scratch scratch) {
    const bool packed = matrix.kind != HP_F32 && matrix.kind != HP_BF16;
    if (!packed || operand.rows < kTileSide || open_strip_bytes(matrix) > scratch.size) {
        return avx512::matmul(matrix, operand, target, begin, end, scratch);
    }
    tile_rows<Tiles>(matrix, operand, target, begin, end, place_strip(matrix, scratch));
    if (operand.rows % kTileSide) remaining_rows(matrix, operand, target, begin, end, scratch);
}

}  // namespace
