// Keys and values of all slots, in memory that becomes real as it is written.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cache.hpp"
#include "pool.hpp"

namespace homeport {

// Where the regions of one slot lie: [layer][key head]{keys, values}, each region on pages of its own, so
// that its end can be given back.
struct CacheLayout {
    int kind = HP_BF16;
    int head_dim = 0;
    int kv_heads = 0;
    int layers = 0;
    int context = 0;

    size_t key_region_bytes() const;
    size_t value_region_bytes() const;
    size_t slot_bytes() const { return keys_at(layers, 0); }
    size_t keys_at(int layer, int head) const {
        return (static_cast<size_t>(layer) * kv_heads + head) * (key_region_bytes() + value_region_bytes());
    }
    size_t values_at(int layer, int head) const { return keys_at(layer, head) + key_region_bytes(); }
    // What one more token takes, in all layers.
    size_t bytes_per_token() const;
};

// One anonymous mapping of slots one after the other. Pages nobody wrote read as zero and cost nothing, so a
// slot costs what its sequence has reached.
class SlotCache {
public:
    // Throws std::runtime_error when the system refuses that much address space.
    SlotCache(const CacheLayout& layout, int slots);
    ~SlotCache();
    SlotCache(const SlotCache&) = delete;
    SlotCache& operator=(const SlotCache&) = delete;

    int64_t bytes_per_token() const { return static_cast<int64_t>(layout_.bytes_per_token()); }
    uint8_t* keys(int slot, int layer, int head) const {
        return slot_data(slot) + layout_.keys_at(layer, head);
    }
    uint8_t* values(int slot, int layer, int head) const {
        return slot_data(slot) + layout_.values_at(layer, head);
    }
    void copy_prefix(int source, int target, int length, ThreadPool& pool);
    // Gives the pages behind the first length tokens of a slot back.
    void release(int slot, int length);

private:
    uint8_t* slot_data(int slot) const { return data_ + slot * layout_.slot_bytes(); }

    CacheLayout layout_;
    size_t size_;
    uint8_t* data_ = nullptr;
};

}  // namespace homeport
