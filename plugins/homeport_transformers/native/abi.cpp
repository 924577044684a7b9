// The C interface: checks what a caller can get wrong, and keeps exceptions inside.
#include "abi.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

#include "decoder.hpp"
#include "features.hpp"
#include "inputs.hpp"
#include "kernels.hpp"
#include "pool.hpp"

#define HP_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using namespace homeport;

thread_local std::string last_error;

const Kernels& usable_kernels(int isa) {
    const Kernels* kernels = runs_here(isa) ? kernels_of(isa) : nullptr;
    if (!kernels) {
        throw std::invalid_argument("this CPU or this build has no instruction set " + std::to_string(isa));
    }
    return *kernels;
}

void require(bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
}

// Rows and columns are counted in int, and rounded up to strips.
void require_countable(int64_t count) {
    require(count >= 1 && count <= std::numeric_limits<int32_t>::max() / 2,
            "a model or a matrix has a size below 1 or above 2^30");
}

void check(const HpMatrix& matrix, int rows, int cols) {
    require_countable(rows);
    require_countable(cols);
    require(matrix.kind >= HP_F32 && matrix.kind <= HP_Q4_MIN, "a matrix is of an unknown kind");
    require(matrix.rows == rows && matrix.cols == cols, "a matrix has another shape than the model");
    require(matrix.codes != nullptr, "a matrix has no codes");
    if (matrix.kind < HP_Q8) return;
    require(matrix.group == 32 || matrix.group == 64, "a packed matrix has groups of neither 32 nor 64");
    require(cols % matrix.group == 0, "the columns of a packed matrix are no multiple of its groups");
    require(matrix.scales != nullptr, "a packed matrix has no scales");
    require((matrix.mins != nullptr) == (matrix.kind == HP_Q4_MIN), "mins belong to kind Q4_MIN alone");
}

void check(const HpModel& model, const HpLayer& layer) {
    const int queries = model.heads * model.head_dim, keys = model.kv_heads * model.head_dim;
    require(layer.window >= 0, "a window is negative");
    check(layer.query, queries, model.hidden);
    check(layer.key, keys, model.hidden);
    check(layer.value, keys, model.hidden);
    check(layer.output, model.hidden, queries);
    check(layer.gate, model.mlp, model.hidden);
    check(layer.up, model.mlp, model.hidden);
    check(layer.down, model.hidden, model.mlp);
    require(layer.attention_norm && layer.mlp_norm, "a layer lacks a norm");
    require(layer.rotary < 0 || (layer.rotary < 2 && model.rotary[layer.rotary]),
            "a layer names a rotary table that is not there");
}

void check(const HpModel& model) {
    require(model.threads >= 1, "a model needs a thread");
    require(model.heads >= 1 && model.kv_heads >= 1 && model.heads % model.kv_heads == 0,
            "heads are no multiple of kv_heads");
    require(model.head_dim >= 2 && model.head_dim % 2 == 0 && model.head_dim <= 512,
            "head_dim is no even number up to 512");
    require(model.rotary_dim >= 0 && model.rotary_dim % 2 == 0 && model.rotary_dim <= model.head_dim,
            "rotary_dim is no even number up to head_dim");
    require_countable(int64_t{model.heads} * model.head_dim);
    require(model.activation == HP_SILU || model.activation == HP_GELU_TANH, "the activation is unknown");
    require(model.planes == 1 || model.planes == 2, "inputs have neither 1 nor 2 planes");
    require(model.context >= 1 && model.slots >= 1, "a model needs a slot of at least one token");
    require(model.cache_kind == HP_F32 || model.cache_kind == HP_BF16, "the cache is neither F32 nor BF16");
    require_countable(model.context);
    require(model.layers && model.layer_count >= 1 && model.norm, "a model lacks its layers or its norm");
    check(model.embedding, model.vocabulary, model.hidden);
    check(model.head, model.vocabulary, model.hidden);
    for (int index = 0; index < model.layer_count; ++index) check(model, model.layers[index]);
}

template <typename Body>
int32_t guarded(const Body& body) {
    try {
        body();
        return 0;
    } catch (const std::exception& error) {
        last_error = error.what();
        return -1;
    }
}

Decoder& decoder(void* model) { return *static_cast<Decoder*>(model); }

}  // namespace

HP_EXPORT int64_t hp_abi_fingerprint(void) {
    return int64_t{HP_ABI_VERSION} << 32 | int64_t{sizeof(HpModel)} << 16 | int64_t{sizeof(HpLayer)};
}

HP_EXPORT int32_t hp_best_isa(void) {
    int isa = HP_AMX;
    while (isa > 0 && !hp_runs_here(isa)) --isa;
    return isa;
}

HP_EXPORT int32_t hp_runs_here(int32_t isa) { return runs_here(isa) && kernels_of(isa); }

HP_EXPORT const char* hp_last_error(void) { return last_error.c_str(); }

HP_EXPORT void* hp_open(const HpModel* description) {
    void* model = nullptr;
    guarded([&] {
        check(*description);
        model = new Decoder(*description, usable_kernels(description->isa));
    });
    return model;
}

HP_EXPORT void hp_close(void* model) { delete static_cast<Decoder*>(model); }

HP_EXPORT int64_t hp_cache_bytes_per_token(const void* model) {
    return static_cast<const Decoder*>(model)->cache_bytes_per_token();
}

HP_EXPORT int32_t hp_forward(void* model, const HpRow* rows, int32_t row_count, const int32_t* tokens,
                             float* logits) {
    return guarded([&] { decoder(model).forward(rows, row_count, tokens, logits); });
}

HP_EXPORT int32_t hp_copy_prefix(void* model, int32_t source, int32_t target, int32_t length) {
    return guarded([&] { decoder(model).copy_prefix(source, target, length); });
}

HP_EXPORT int32_t hp_release(void* model, int32_t slot, int32_t length) {
    return guarded([&] { decoder(model).release(slot, length); });
}

HP_EXPORT int32_t hp_matmul(int32_t isa, int32_t threads, const HpMatrix* matrix, const float* x,
                            int32_t rows, float* y) {
    return guarded([&] {
        check(*matrix, matrix->rows, matrix->cols);
        require(threads >= 1 && rows >= 1, "a product needs a thread and a row");
        const Kernels& kernels = usable_kernels(isa);
        // Kept between calls: starting threads would be most of what a benchmark measures.
        static thread_local std::unique_ptr<ThreadPool> pool;
        if (!pool || pool->size() != threads) pool = std::make_unique<ThreadPool>(threads);
        static thread_local AlignedBuffer<uint8_t> scratch;
        scratch.reserve(kScratchBytes * threads);
        static thread_local Inputs kept;
        Inputs& inputs = kept;  // this thread's, for all that work on it
        inputs.shape(rows, matrix->cols, {matrix});
        pool->run(rows, [&](int row, int) {
            inputs.fill(kernels, row, 0, matrix->cols, x + static_cast<size_t>(row) * matrix->cols);
        });
        const int strips = strip_count(matrix->rows), per_task = most_strips_per_task(rows);
        uint8_t* memory = scratch.data();
        pool->run((strips + per_task - 1) / per_task, [&](int task, int thread) {
            inputs.multiply(kernels, *matrix, rows, {y, matrix->rows}, task * per_task,
                            std::min(strips, (task + 1) * per_task),
                            {memory + thread * kScratchBytes, kScratchBytes});
        });
    });
}

HP_EXPORT double hp_read_bandwidth(int32_t threads, int64_t bytes) {
    double best = 0;
    guarded([&] {
        constexpr int kRounds = 4, kParts = 64;
        ThreadPool pool(threads);
        AlignedBuffer<uint64_t> memory(bytes / sizeof(uint64_t));
        const size_t part = bytes / sizeof(uint64_t) / kParts;
        pool.run(kParts, [&](int index, int) { std::fill_n(memory.at(index * part), part, uint64_t{1}); });
        std::atomic<uint64_t> sum{0};
        for (int round = 0; round < kRounds; ++round) {
            const auto start = std::chrono::steady_clock::now();
            pool.run(kParts, [&](int index, int) {
                uint64_t own[8] = {};
                const uint64_t* data = memory.at(index * part);
                for (size_t place = 0; place + 8 <= part; place += 8) {
                    for (int lane = 0; lane < 8; ++lane) own[lane] += data[place + lane];
                }
                for (uint64_t lane : own) sum += lane;
            });
            const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
            best = std::max(best, static_cast<double>(part * kParts * sizeof(uint64_t)) / seconds.count());
        }
        require(sum.load() > 0, "nothing was read");
    });
    return best;
}
