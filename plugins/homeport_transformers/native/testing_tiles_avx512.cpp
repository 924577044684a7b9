// Products on emulated tiles, so that the tests reach what only AMX would run.
#include "finish_avx512.hpp"
#include "matmul.hpp"
#include "tiles.hpp"

namespace homeport::emulated_amx {

#include "tile_product.inl"

void matmul(const HpMatrix& matrix, const Operand& operand, const Target& target, int begin, int end,
            Scratch scratch) {
    tile_matmul<EmulatedTiles>(matrix, operand, target, begin, end, scratch);
}

}  // namespace homeport::emulated_amx
