// The forward pass of one decoder: all rows of a step through all layers.
#pragma once

#include <vector>

#include "aligned.hpp"
#include "inputs.hpp"
#include "kernels.hpp"
#include "pool.hpp"
#include "slot_cache.hpp"

namespace homeport {

// Every token of every row goes through the products together; only attention is computed per row.
class Decoder {
public:
    // kernels outlive the decoder.
    Decoder(const HpModel& model, const Kernels& kernels);

    void forward(const HpRow* rows, int row_count, const int32_t* tokens, float* logits);
    void copy_prefix(int source, int target, int length) {
        cache_.copy_prefix(source, target, length, pool_);
    }
    void release(int slot, int length) { cache_.release(slot, length); }
    int64_t cache_bytes_per_token() const { return cache_.bytes_per_token(); }

private:
    // One token of the step: where it belongs.
    struct Token {
        int id;
        int slot;
        int position;
    };
    // Neighbouring tokens of one row, attended together.
    struct Span {
        int first;  // token of the step
        int count;
        int slot;
        int start;  // position of the first
    };
    struct Output {
        const HpMatrix* matrix;
        Target target;
    };

    void plan(const HpRow* rows, int row_count, const int32_t* tokens);
    void embed();
    void attention(int index, const HpLayer& layer);
    void mlp(const HpLayer& layer);
    void normalise(const float* weight, std::initializer_list<const HpMatrix*> readers);
    void turn_and_store(int index, const HpLayer& layer);
    void attend(int index, const HpLayer& layer);
    // How many tasks the query heads of one key head make, when there are few others.
    int head_parts(int tasks, int query_heads) const;
    void gated(const HpLayer& layer);
    void add_product(const Inputs& inputs, const HpMatrix& matrix, const float* bias, const float* post_norm);
    void multiply(const Inputs& inputs, int rows, std::initializer_list<Output> outputs);
    void write_logits(float* logits);
    void cap(float* logits, size_t count);

    int token_count() const { return static_cast<int>(tokens_.size()); }
    int strips_per_task(int strips, int unit) const;
    // Calls body(token) for the first so many tokens of the step, on all threads.
    template <typename Body>
    void for_tokens(int count, const Body& body);
    Scratch scratch(int thread) { return {scratch_[thread].data(), kScratchBytes}; }
    AttentionShape attention_shape(const HpLayer& layer) const;

    HpModel model_;
    std::vector<HpLayer> layers_;
    const Kernels& kernels_;
    ThreadPool pool_;
    SlotCache cache_;

    std::vector<Token> tokens_;
    std::vector<int> wanted_;  // tokens of the step whose logits are asked for
    std::vector<Span> spans_;
    Inputs inputs_, attended_, activated_, last_;
    AlignedBuffer<float> hidden_, queries_, keys_, values_, mixed_, product_;
    std::vector<AlignedBuffer<uint8_t>> scratch_;
    std::vector<AlignedBuffer<float>> gates_;  // of one task of one thread
};

}  // namespace homeport
