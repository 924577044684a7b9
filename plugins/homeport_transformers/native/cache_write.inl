// Writing keys and values of one position, by the layout in cache.hpp. Included once per instruction set,
// inside its namespace, behind vector_ops.inl.

static void cache_write_float(int head_dim, float* keys, float* values, int lane, const float* key,
                              const float* value) {
    for (int d = 0; d < head_dim; ++d) keys[d * kLanes + lane] = key[d];
    for_lanes(head_dim, [&](int offset, int count) {
        store_some(values + offset, load_some(value + offset, count), count);
    });
}

static void cache_write_bf16(int head_dim, uint16_t* keys, uint16_t* values, int lane, const float* key,
                             const float* value) {
    uint16_t rounded[kMostHeadDim];
    for_lanes(head_dim, [&](int offset, int count) {
        store_bf16_first(rounded + offset, load_some(key + offset, count), count);
        store_bf16_first(values + offset, load_some(value + offset, count), count);
    });
    for (int d = 0; d < head_dim; d += 2) {
        uint16_t* pair = keys + d * kLanes + 2 * lane;
        pair[0] = rounded[d];
        pair[1] = rounded[d + 1];
    }
}

static void cache_write(const AttentionShape& shape, void* keys, void* values, int position, const float* key,
                        const float* value) {
    const int head_dim = shape.head_dim;
    const int lane = position % kCacheBlock;
    const size_t key_at = cache_key_bytes(shape.cache_kind, head_dim, position - lane);
    const size_t value_at = cache_value_bytes(shape.cache_kind, head_dim, position);
    auto* key_block = static_cast<uint8_t*>(keys) + key_at;
    auto* value_row = static_cast<uint8_t*>(values) + value_at;
    if (shape.cache_kind == HP_F32) {
        cache_write_float(head_dim, reinterpret_cast<float*>(key_block), reinterpret_cast<float*>(value_row),
                          lane, key, value);
    } else {
        cache_write_bf16(head_dim, reinterpret_cast<uint16_t*>(key_block),
                         reinterpret_cast<uint16_t*>(value_row), lane, key, value);
    }
}
