// The forward pass of one decoder: all rows of a step through all layers.
#include "decoder.hpp"

#include <algorithm>

namespace homeport {

namespace {

constexpr int kSpanTokens = 16;     // tokens of a prompt that one task attends
constexpr int kTasksPerThread = 6;  // enough that threads end together, few enough that dispatch is cheap
constexpr int kStripsPerGroup = kMaxGroup / kStripRows;
constexpr size_t kCappedPerTask = 16384;

CacheLayout layout_of(const HpModel& model) {
    return {.kind = model.cache_kind,
            .head_dim = model.head_dim,
            .kv_heads = model.kv_heads,
            .layers = model.layer_count,
            .context = model.context};
}

}  // namespace

Decoder::Decoder(const HpModel& model, const Kernels& kernels)
    : model_(model),
      layers_(model.layers, model.layers + model.layer_count),
      kernels_(kernels),
      pool_(model.threads),
      cache_(layout_of(model), model.slots),
      inputs_(model.planes),
      attended_(model.planes),
      activated_(model.planes),
      last_(model.planes),
      gates_(pool_.size()) {
    for (int thread = 0; thread < pool_.size(); ++thread) scratch_.emplace_back(kScratchBytes);
}

void Decoder::forward(const HpRow* rows, int row_count, const int32_t* tokens, float* logits) {
    plan(rows, row_count, tokens);
    embed();
    for (int index = 0; index < model_.layer_count; ++index) {
        attention(index, layers_[index]);
        mlp(layers_[index]);
    }
    write_logits(logits);
}

void Decoder::plan(const HpRow* rows, int row_count, const int32_t* tokens) {
    tokens_.clear();
    wanted_.clear();
    spans_.clear();
    for (const HpRow* row = rows; row < rows + row_count; ++row) {
        for (int done = 0; done < row->count; done += kSpanTokens) {
            spans_.push_back({token_count() + done, std::min(kSpanTokens, row->count - done), row->slot,
                              row->start + done});
        }
        for (int index = 0; index < row->count; ++index) {
            if (index >= row->count - row->logits) wanted_.push_back(token_count());
            tokens_.push_back({*tokens++, row->slot, row->start + index});
        }
    }
    // Long ones first: a short one at the end lets the threads end together.
    std::stable_sort(spans_.begin(), spans_.end(),
                     [](const Span& a, const Span& b) { return a.start + a.count > b.start + b.count; });
}

template <typename Body>
void Decoder::for_tokens(int count, const Body& body) {
    const int size = std::max(1, count / (pool_.size() * kTasksPerThread));
    pool_.run((count + size - 1) / size, [&](int index, int) {
        const int end = std::min(count, (index + 1) * size);
        for (int token = index * size; token < end; ++token) body(token);
    });
}

void Decoder::embed() {
    hidden_.reserve(static_cast<size_t>(token_count()) * model_.hidden);
    for_tokens(token_count(), [&](int token) {
        kernels_.expand_row(model_.embedding, tokens_[token].id, model_.embedding_scale,
                            hidden_.at(static_cast<size_t>(token) * model_.hidden));
    });
}

void Decoder::attention(int index, const HpLayer& layer) {
    const size_t tokens = token_count();
    const int query_size = model_.heads * model_.head_dim, key_size = model_.kv_heads * model_.head_dim;
    queries_.reserve(tokens * query_size);
    keys_.reserve(tokens * key_size);
    values_.reserve(tokens * key_size);
    mixed_.reserve(tokens * query_size);

    normalise(layer.attention_norm, {&layer.query, &layer.key, &layer.value});
    multiply(inputs_, token_count(),
             {{&layer.query, {queries_.data(), query_size, layer.query_bias}},
              {&layer.key, {keys_.data(), key_size, layer.key_bias}},
              {&layer.value, {values_.data(), key_size, layer.value_bias}}});
    turn_and_store(index, layer);
    attend(index, layer);

    attended_.shape(token_count(), query_size, {&layer.output});
    for_tokens(token_count(), [&](int token) {
        const float* mixed = mixed_.at(static_cast<size_t>(token) * query_size);
        attended_.fill(kernels_, token, 0, query_size, mixed);
    });
    add_product(attended_, layer.output, layer.output_bias, layer.attention_post_norm);
}

void Decoder::mlp(const HpLayer& layer) {
    normalise(layer.mlp_norm, {&layer.gate, &layer.up});
    gated(layer);
    add_product(activated_, layer.down, layer.down_bias, layer.mlp_post_norm);
}

void Decoder::normalise(const float* weight, std::initializer_list<const HpMatrix*> readers) {
    const int size = model_.hidden;
    inputs_.shape(token_count(), size, readers);
    product_.reserve(static_cast<size_t>(token_count()) * size);
    for_tokens(token_count(), [&](int token) {
        const size_t place = static_cast<size_t>(token) * size;
        float* normal = inputs_.wants_values() ? inputs_.values(token) : product_.at(place);
        kernels_.rms_norm(hidden_.at(place), weight, size, model_.norm_epsilon, normal);
        inputs_.fill(kernels_, token, 0, size, normal);
    });
}

void Decoder::multiply(const Inputs& inputs, int rows, std::initializer_list<Output> outputs) {
    struct Part {
        Output output;
        int strips, first_task;
    };
    int tasks = 0, strips = 0;
    for (const Output& output : outputs) strips += strip_count(output.matrix->rows);
    const int per_task = strips_per_task(strips, 2);
    std::vector<Part> parts;
    for (const Output& output : outputs) {
        parts.push_back({output, strip_count(output.matrix->rows), tasks});
        tasks += (parts.back().strips + per_task - 1) / per_task;
    }
    pool_.run(tasks, [&](int task, int thread) {
        const Part* part = &parts.back();
        while (part->first_task > task) --part;
        const int begin = (task - part->first_task) * per_task;
        inputs.multiply(kernels_, *part->output.matrix, rows, part->output.target, begin,
                        std::min(part->strips, begin + per_task), scratch(thread));
    });
}

int Decoder::strips_per_task(int strips, int unit) const {
    const int fair = strips / (pool_.size() * kTasksPerThread) / unit * unit;
    return std::clamp(fair, unit, most_strips_per_task(token_count()));
}

void Decoder::turn_and_store(int index, const HpLayer& layer) {
    const int size = model_.head_dim;
    const AttentionShape shape = attention_shape(layer);
    const auto prepare = [&](float* head, const float* norm, int position) {
        if (norm) kernels_.rms_norm(head, norm, size, model_.norm_epsilon, head);
        if (layer.rotary < 0) return;
        const float* table = model_.rotary[layer.rotary] + static_cast<size_t>(position) * model_.rotary_dim;
        kernels_.rotate(head, table, model_.rotary_dim);
    };
    for_tokens(token_count(), [&](int token) {
        const auto [id, slot, position] = tokens_[token];
        for (int head = 0; head < model_.heads; ++head) {
            prepare(queries_.at((static_cast<size_t>(token) * model_.heads + head) * size), layer.query_norm,
                    position);
        }
        for (int head = 0; head < model_.kv_heads; ++head) {
            const size_t place = (static_cast<size_t>(token) * model_.kv_heads + head) * size;
            prepare(keys_.at(place), layer.key_norm, position);
            kernels_.cache_write(shape, cache_.keys(slot, index, head), cache_.values(slot, index, head),
                                 position, keys_.at(place), values_.at(place));
        }
    });
}

AttentionShape Decoder::attention_shape(const HpLayer& layer) const {
    return {.cache_kind = model_.cache_kind,
            .head_dim = model_.head_dim,
            .query_heads = model_.heads / model_.kv_heads,
            .window = layer.window,
            .scale = model_.attention_scale,
            .softcap = model_.attention_softcap};
}

void Decoder::attend(int index, const HpLayer& layer) {
    const AttentionShape shape = attention_shape(layer);
    const ptrdiff_t stride = static_cast<ptrdiff_t>(model_.heads) * model_.head_dim;
    const int spans = static_cast<int>(spans_.size());
    const int parts = head_parts(spans * model_.kv_heads, shape.query_heads);
    AttentionShape part = shape;
    part.query_heads /= parts;
    const int group = part.query_heads * shape.head_dim;
    pool_.run(spans * model_.kv_heads * parts, [&](int task, int thread) {
        const Span& span = spans_[task / (model_.kv_heads * parts)];
        const int section = task % (model_.kv_heads * parts), head = section / parts;
        const HeadCache cache{cache_.keys(span.slot, index, head), cache_.values(span.slot, index, head)};
        const size_t place = static_cast<size_t>(span.first) * stride + static_cast<size_t>(section) * group;
        kernels_.attend(part, cache, span.start, span.count, queries_.at(place), stride, mixed_.at(place),
                        stride, scratch(thread));
    });
}

int Decoder::head_parts(int tasks, int query_heads) const {
    int parts = 1;
    while (tasks * parts < 2 * pool_.size() && parts < query_heads) {
        do ++parts;
        while (query_heads % parts != 0);
    }
    return parts;
}

void Decoder::gated(const HpLayer& layer) {
    activated_.shape(token_count(), model_.mlp, {&layer.down});
    const int strips = strip_count(model_.mlp);
    const int per_task = strips_per_task(strips, kStripsPerGroup);
    const int width = per_task * kStripRows;
    const size_t half = static_cast<size_t>(token_count()) * width;
    for (auto& gates : gates_) gates.reserve(2 * half);
    pool_.run((strips + per_task - 1) / per_task, [&](int task, int thread) {
        const int begin = task * per_task, end = std::min(strips, begin + per_task);
        const int first = begin * kStripRows, count = std::min(model_.mlp - first, width);
        float* gate = gates_[thread].data();
        float* up = gate + half;
        // The kernels write output n at column n: the buffers begin at this task's first.
        inputs_.multiply(kernels_, layer.gate, token_count(), {gate - first, width, layer.gate_bias}, begin,
                         end, scratch(thread));
        inputs_.multiply(kernels_, layer.up, token_count(), {up - first, width, layer.up_bias}, begin, end,
                         scratch(thread));
        for (int token = 0; token < token_count(); ++token) {
            float* row = gate + static_cast<size_t>(token) * width;
            kernels_.gate(row, up + static_cast<size_t>(token) * width, count, model_.activation);
            activated_.fill(kernels_, token, first, count, row);
        }
    });
}

void Decoder::add_product(const Inputs& inputs, const HpMatrix& matrix, const float* bias,
                          const float* post_norm) {
    const int size = model_.hidden;
    if (!post_norm) {
        multiply(inputs, token_count(), {{&matrix, {hidden_.data(), size, bias, true}}});
        return;
    }
    product_.reserve(static_cast<size_t>(token_count()) * size);
    multiply(inputs, token_count(), {{&matrix, {product_.data(), size, bias}}});
    for_tokens(token_count(), [&](int token) {
        float* product = product_.at(static_cast<size_t>(token) * size);
        kernels_.rms_norm(product, post_norm, size, model_.norm_epsilon, product);
        kernels_.add(hidden_.at(static_cast<size_t>(token) * size), product, size);
    });
}

void Decoder::write_logits(float* logits) {
    const int count = static_cast<int>(wanted_.size()), size = model_.hidden;
    if (!count) return;
    last_.shape(count, size, {&model_.head});
    product_.reserve(static_cast<size_t>(count) * size);
    for (int index = 0; index < count; ++index) {
        float* normal = product_.at(static_cast<size_t>(index) * size);
        kernels_.rms_norm(hidden_.at(static_cast<size_t>(wanted_[index]) * size), model_.norm, size,
                          model_.norm_epsilon, normal);
        last_.fill(kernels_, index, 0, size, normal);
    }
    multiply(last_, count, {{&model_.head, {logits, model_.vocabulary}}});
    if (model_.logit_softcap > 0) cap(logits, static_cast<size_t>(count) * model_.vocabulary);
}

void Decoder::cap(float* logits, size_t count) {
    const size_t size = kCappedPerTask;
    pool_.run(static_cast<int>((count + size - 1) / size), [&](int task, int) {
        const size_t first = task * size;
        kernels_.softcap(logits + first, static_cast<int>(std::min(count - first, size)),
                         model_.logit_softcap);
    });
}

}  // namespace homeport
