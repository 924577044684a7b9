// A product with a packed matrix, strip by strip and tile by tile. The instruction set that includes this in
// its namespace has said how large its tiles are (kTileStrips, kTileRows), and defines them behind it.

namespace {

constexpr int kBlock = 32;  // columns; a group is one or two
constexpr int kLine = 64;   // bytes

// Codes of inputs that stay in the second-level cache while strips go by.
constexpr int kInputBytes = 256 * 1024;
// How far a strip that streams through is fetched ahead, in blocks.
constexpr int kBlocksAhead = 16;

template <int kKind>
constexpr bool kNibbles = kKind != HP_Q8;
template <int kKind>
constexpr int kBlockBytes = kNibbles<kKind> ? kBlock * kStripRows / 2 : kBlock * kStripRows;

// What a tile reads and where it writes.
struct Step {
    const uint8_t* codes;
    const uint16_t* scales;
    const uint16_t* mins;
    size_t strip_codes;  // from one strip to the next
    size_t strip_scales;
    ptrdiff_t codes_ahead;  // from what is read to what is fetched meanwhile
    ptrdiff_t scales_ahead;
    const int8_t* inputs;
    const float* input_scales;
    const int32_t* input_sums;
    size_t cols;
    size_t groups;
    Target target;
    int outputs;  // how many of the tile's there are
};

using Tile = void (*)(const Step& step);

// The tiles of one kind and group, by how many strips and rows they take, each less one.
struct Tiles {
    Tile of[kTileStrips][kTileRows];
};

const Tiles& tiles_for(const HpMatrix& matrix);

// Fetches the lines of a block that a tile will read later.
template <int kKind>
inline void fetch_block(const uint8_t* codes) {
#pragma GCC unroll 8
    for (int i = 0; i < kBlockBytes<kKind> / kLine; ++i) {
        _mm_prefetch(reinterpret_cast<const char*>(codes + kLine * i), _MM_HINT_T0);
    }
}

inline int32_t four_codes(const int8_t* codes) {
    int32_t four;
    __builtin_memcpy(&four, codes, sizeof four);
    return four;
}

class PackedProduct {
public:
    PackedProduct(const HpMatrix& matrix, const Operand& operand, const Target& target)
        : matrix_(matrix),
          operand_(operand),
          target_(target),
          tiles_(tiles_for(matrix)),
          groups_(matrix.cols / matrix.group),
          strip_scales_(groups_ * kStripRows),
          strip_codes_(static_cast<size_t>(matrix.cols) * kStripRows / (matrix.kind == HP_Q8 ? 1 : 2)) {}

    void run(int begin, int end) const {
        const int fitting = kInputBytes / matrix_.cols, most = fitting < kTileRows ? kTileRows : fitting;
        for (int first = 0; first < operand_.rows; first += most) {
            const int left = operand_.rows - first;
            run_rows(first, left < most ? left : most, begin, end);
        }
    }

private:
    // Few rows take strips one by one: their codes then stream through once, at the speed of memory.
    void run_rows(int first, int rows, int begin, int end) const {
        if (rows <= kTileRows) {
            const Tile tile = tiles_.of[0][rows - 1];
            for (int strip = begin; strip < end; ++strip) tile(step(strip, first, kBlocksAhead));
            return;
        }
        for (int strip = begin; strip < end; strip += kTileStrips) run_tiles(first, rows, strip, end);
    }

    // Tiles of nearly equal size over the same strips. The first ones fetch the next strips meanwhile.
    void run_tiles(int first, int rows, int strip, int end) const {
        const int strips = end - strip < kTileStrips ? end - strip : kTileStrips;
        const int count = (rows + kTileRows - 1) / kTileRows, blocks = matrix_.cols / kBlock;
        for (int index = 0, row = 0; index < count; ++index) {
            const int size = (rows - row) / (count - index);
            const bool fetch = index < kTileStrips && strip + kTileStrips + index < end;
            const ptrdiff_t ahead = fetch ? static_cast<ptrdiff_t>(kTileStrips + index) * blocks : 0;
            tiles_.of[strips - 1][size - 1](step(strip, first + row, ahead));
            row += size;
        }
    }

    Step step(int strip, int row, ptrdiff_t blocks_ahead) const {
        const size_t input = static_cast<size_t>(row) * matrix_.cols, group = row * groups_;
        Target target = target_;
        target.data += row * target.stride + strip * kStripRows;
        if (target.bias) target.bias += strip * kStripRows;
        return {.codes = static_cast<const uint8_t*>(matrix_.codes) + strip * strip_codes_,
                .scales = matrix_.scales + strip * strip_scales_,
                .mins = matrix_.mins ? matrix_.mins + strip * strip_scales_ : nullptr,
                .strip_codes = strip_codes_,
                .strip_scales = strip_scales_,
                .codes_ahead = blocks_ahead * static_cast<ptrdiff_t>(strip_codes_ * kBlock / matrix_.cols),
                .scales_ahead = blocks_ahead * kBlock / matrix_.group * kStripRows,
                .inputs = operand_.codes + input,
                .input_scales = operand_.scales + group,
                .input_sums = operand_.sums + group,
                .cols = static_cast<size_t>(matrix_.cols),
                .groups = groups_,
                .target = target,
                .outputs = matrix_.rows - strip * kStripRows};
    }

    const HpMatrix& matrix_;
    const Operand& operand_;
    const Target& target_;
    const Tiles& tiles_;
    const size_t groups_, strip_scales_, strip_codes_;
};

}  // namespace
