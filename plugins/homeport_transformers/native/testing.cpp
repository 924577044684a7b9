// Single kernels for the property tests, which reach them by ctypes. Not part of the interface in abi.h.
//
// All return 0, or -1 where this CPU or this build does not have the instruction set.
#include <atomic>
#include <cstdint>
#include <vector>

#include "aligned.hpp"
#include "cache.hpp"
#include "features.hpp"
#include "kernels.hpp"
#include "pool.hpp"

#define HP_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

template <typename Body>
int32_t with_kernels(int isa, const Body& body) {
    const homeport::Kernels* kernels = homeport::runs_here(isa) ? homeport::kernels_of(isa) : nullptr;
    if (kernels == nullptr) return -1;
    body(*kernels);
    return 0;
}

}  // namespace

// Attention over a cache that the caller holds, mirrored in test_attention.py.
struct HpTestAttention {
    int32_t cache_kind;
    int32_t head_dim;
    int32_t query_heads;
    int32_t window;
    float scale;
    float softcap;
    void* keys;
    void* values;
};

namespace {

homeport::AttentionShape shape_of(const HpTestAttention& test) {
    return {.cache_kind = test.cache_kind,
            .head_dim = test.head_dim,
            .query_heads = test.query_heads,
            .window = test.window,
            .scale = test.scale,
            .softcap = test.softcap};
}

}  // namespace

HP_EXPORT int64_t hp_test_key_bytes(int32_t kind, int32_t head_dim, int32_t positions) {
    return static_cast<int64_t>(homeport::cache_key_bytes(kind, head_dim, positions));
}

HP_EXPORT int64_t hp_test_value_bytes(int32_t kind, int32_t head_dim, int32_t positions) {
    return static_cast<int64_t>(homeport::cache_value_bytes(kind, head_dim, positions));
}

HP_EXPORT int32_t hp_test_rms_norm(int32_t isa, const float* values, const float* weight, int32_t size,
                                   float epsilon, float* out) {
    return with_kernels(isa,
                        [&](const auto& kernels) { kernels.rms_norm(values, weight, size, epsilon, out); });
}

HP_EXPORT int32_t hp_test_rotate(int32_t isa, float* head, const float* table, int32_t rotary_dim) {
    return with_kernels(isa, [&](const auto& kernels) { kernels.rotate(head, table, rotary_dim); });
}

HP_EXPORT int32_t hp_test_gate(int32_t isa, float* gate, const float* up, int32_t size, int32_t activation) {
    return with_kernels(isa, [&](const auto& kernels) { kernels.gate(gate, up, size, activation); });
}

HP_EXPORT int32_t hp_test_add(int32_t isa, float* values, const float* others, int32_t size) {
    return with_kernels(isa, [&](const auto& kernels) { kernels.add(values, others, size); });
}

HP_EXPORT int32_t hp_test_softcap(int32_t isa, float* values, int32_t size, float cap) {
    return with_kernels(isa, [&](const auto& kernels) { kernels.softcap(values, size, cap); });
}

// Writes count positions; keys and values are [count][head_dim].
HP_EXPORT int32_t hp_test_cache_write(int32_t isa, const HpTestAttention* test, int32_t start, int32_t count,
                                      const float* keys, const float* values) {
    return with_kernels(isa, [&](const auto& kernels) {
        for (int index = 0; index < count; ++index) {
            const ptrdiff_t at = static_cast<ptrdiff_t>(index) * test->head_dim;
            kernels.cache_write(shape_of(*test), test->keys, test->values, start + index, keys + at,
                                values + at);
        }
    });
}

HP_EXPORT int32_t hp_test_attend(int32_t isa, const HpTestAttention* test, int32_t start, int32_t tokens,
                                 const float* queries, int64_t stride, float* output, int64_t output_stride) {
    const homeport::AlignedBuffer<uint8_t> scratch(homeport::kScratchBytes);
    return with_kernels(isa, [&](const auto& kernels) {
        kernels.attend(shape_of(*test), {test->keys, test->values}, start, tokens, queries, stride, output,
                       output_stride, {scratch.data(), homeport::kScratchBytes});
    });
}

// Runs so many jobs of `count`, count - 1, ... tasks (after 0 again from `count`) on one pool. Gives how many
// tasks ran on a thread that there is not, or not exactly once.
HP_EXPORT int64_t hp_test_pool(int32_t threads, int32_t count, int32_t jobs) {
    homeport::ThreadPool pool(threads);
    std::vector<std::atomic<int>> runs(count);
    std::atomic<int64_t> strangers{0};
    int64_t wrong = 0;
    for (int job = 0; job < jobs; ++job) {
        const int tasks = count - job % (count + 1);
        pool.run(tasks, [&](int index, int thread) {
            runs[index].fetch_add(1, std::memory_order_relaxed);
            if (thread < 0 || thread >= pool.size()) strangers.fetch_add(1);
        });
        for (int index = 0; index < count; ++index)
            wrong += runs[index].exchange(0) != (index < tasks ? 1 : 0);
    }
    return wrong + strangers.load();
}
