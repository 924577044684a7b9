// Keys and values of all slots, in memory that becomes real as it is written.
#include "slot_cache.hpp"

#include <sys/mman.h>

#include <cstring>
#include <stdexcept>
#include <string>

namespace homeport {

namespace {

constexpr size_t kPage = 4096;

size_t whole_pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// Gives back the whole pages of a region behind its first `kept` bytes.
void release_tail(uint8_t* region, size_t size, size_t kept) {
    const size_t first = whole_pages(kept);
    if (first < size) madvise(region + first, size - first, MADV_DONTNEED);
}

// Bytes of all slots; the largest size_t, which no system grants, where that overflows.
size_t cache_bytes(const CacheLayout& layout, int slots) {
    size_t size = 0;
    if (__builtin_mul_overflow(layout.key_region_bytes() + layout.value_region_bytes(), layout.layers,
                               &size) ||
        __builtin_mul_overflow(size, layout.kv_heads, &size) || __builtin_mul_overflow(size, slots, &size)) {
        return SIZE_MAX;
    }
    return size;
}

}  // namespace

size_t CacheLayout::key_region_bytes() const { return whole_pages(cache_key_bytes(kind, head_dim, context)); }

size_t CacheLayout::value_region_bytes() const {
    return whole_pages(cache_value_bytes(kind, head_dim, context));
}

size_t CacheLayout::bytes_per_token() const {
    const size_t block =
        cache_key_bytes(kind, head_dim, kCacheBlock) + cache_value_bytes(kind, head_dim, kCacheBlock);
    return block / kCacheBlock * kv_heads * layers;
}

SlotCache::SlotCache(const CacheLayout& layout, int slots)
    : layout_(layout), size_(cache_bytes(layout, slots)) {
    void* mapped =
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) {
        throw std::runtime_error("the system refuses " + std::to_string(size_) + " bytes of addresses for " +
                                 std::to_string(slots) + " slots of " + std::to_string(layout.context) +
                                 " tokens");
    }
    data_ = static_cast<uint8_t*>(mapped);
    // A huge page would make 2 MiB of each head real with its first token.
    madvise(data_, size_, MADV_NOHUGEPAGE);
}

SlotCache::~SlotCache() { munmap(data_, size_); }

void SlotCache::copy_prefix(int source, int target, int length, ThreadPool& pool) {
    const size_t key_bytes = cache_key_bytes(layout_.kind, layout_.head_dim, length);
    const size_t value_bytes = cache_value_bytes(layout_.kind, layout_.head_dim, length);
    pool.run(layout_.layers * layout_.kv_heads, [&](int index, int) {
        const int layer = index / layout_.kv_heads, head = index % layout_.kv_heads;
        std::memcpy(keys(target, layer, head), keys(source, layer, head), key_bytes);
        std::memcpy(values(target, layer, head), values(source, layer, head), value_bytes);
    });
}

void SlotCache::release(int slot, int length) {
    if (length == 0) {
        release_tail(slot_data(slot), layout_.slot_bytes(), 0);
        return;
    }
    const size_t key_bytes = cache_key_bytes(layout_.kind, layout_.head_dim, length);
    const size_t value_bytes = cache_value_bytes(layout_.kind, layout_.head_dim, length);
    for (int layer = 0; layer < layout_.layers; ++layer) {
        for (int head = 0; head < layout_.kv_heads; ++head) {
            release_tail(keys(slot, layer, head), layout_.key_region_bytes(), key_bytes);
            release_tail(values(slot, layer, head), layout_.value_region_bytes(), value_bytes);
        }
    }
}

}  // namespace homeport
