// Packed matrix products with the INT8 tiles of AMX.
#include "finish_avx512.hpp"
#include "matmul.hpp"
#include "tiles.hpp"

namespace homeport::amx {

#include "tile_product.inl"

void matmul(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end,
            Scratch scratch) {
    tile_matmul<AmxTiles>(matrix, operand, target, begin, end, scratch);
}

}  // namespace homeport::amx
