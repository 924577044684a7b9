// Attention over the cache, with one pass over keys and values. Included once per instruction set, inside its
// namespace, behind vector_ops.inl.
//
// Every query goes through the same operations whatever is computed beside it: blocks of kKeyBlock keys at
// fixed positions, first to last; in a block one chain of FMA per score over the components, then one chain
// per output over exactly the positions that the query sees. Tiles of queries share what they load, nothing
// else.
//
// The softmax is corrected block by block when its maximum grows (Milakov and Gimelshein, arXiv:1805.02867),
// in powers of two.

constexpr int kKeyBlock = 128;     // positions; their scores of one tile stay in the first-level cache
constexpr int kBatch = 64;         // queries that go through a block of keys while it is in the cache
constexpr int kMostChunks = 8;     // vectors of one query's output that are summed at once
constexpr int kBytesAhead = 8192;  // from what is read to what is asked for
// A maximum is replaced by one that is greater by more: otherwise it grows too often for branch prediction.
constexpr float kSlack = 4.0F;
constexpr float kNothing = -__builtin_inff();

// How elements of the cache become floats. A pair of components of 16 positions takes 32 elements in either.
struct StoredFloat {
    using Element = float;
    static Lanes even(const float* pair) { return load(pair); }
    static Lanes odd(const float* pair) { return load(pair + kLanes); }
    static Lanes values(const float* from) { return load(from); }
};

struct StoredBf16 {
    using Element = uint16_t;
    static Lanes even(const uint16_t* pair) { return even_of_bf16_pairs(pair); }
    static Lanes odd(const uint16_t* pair) { return odd_of_bf16_pairs(pair); }
    static Lanes values(const uint16_t* from) { return load_bf16(from); }
};

// Calls body with the number 1..kMost as a constant.
template <int kMost, typename Body>
[[gnu::always_inline]] static inline void with_constant(int number, const Body& body) {
    if constexpr (kMost > 1) {
        if (number < kMost) return with_constant<kMost - 1>(number, body);
    }
    body(std::integral_constant<int, kMost>{});
}

// How many vectors beside each other one query of so many has in registers.
static constexpr int vectors_for(int queries) {
    const int fair = kAccumulators / queries;
    return fair < 1 ? 1 : fair > kMostChunks ? kMostChunks : fair;
}

// Asks for the vectors that lie kBytesAhead behind those that are read now. The hardware does not see them
// coming: a block is several streams of a page or less.
template <typename Stored, int kVectors>
[[gnu::always_inline]] static inline void prefetch(const typename Stored::Element* from) {
    constexpr int kLineBytes = 64;
    // May point behind the cache, which a prefetch forgives and pointer arithmetic does not.
    const auto ahead = reinterpret_cast<uintptr_t>(from) + kBytesAhead;
    constexpr int kBytes = kVectors * kLanes * sizeof(typename Stored::Element);
    for (int offset = 0; offset < kBytes; offset += kLineBytes) {
        __builtin_prefetch(reinterpret_cast<const void*>(ahead + offset));
    }
}

// sums[q][n] += components[q] * loaded[n]
template <int kQueries, int kCount>
[[gnu::always_inline]] static inline void multiply_in(const float* components, ptrdiff_t stride,
                                                      const Lanes (&loaded)[kCount],
                                                      Lanes (&sums)[kQueries][kCount]) {
#pragma GCC unroll 8
    for (int q = 0; q < kQueries; ++q) {
        const Lanes component = broadcast(components[q * stride]);
#pragma GCC unroll 8
        for (int n = 0; n < kCount; ++n) sums[q][n] = fma(component, loaded[n], sums[q][n]);
    }
}

// Calls body with every pair of indices. Unrolled as all loops over registers, so that no array lies in
// memory.
template <int kQueries, int kCount, typename Body>
[[gnu::always_inline]] static inline void for_each(const Body& body) {
#pragma GCC unroll 8
    for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
        for (int n = 0; n < kCount; ++n) body(q, n);
    }
}

// Scores of kBlocks blocks of 16 keys. queries: [head_dim][kQueries]; scores: [kQueries][kKeyBlock].
template <typename Stored, int kQueries, int kBlocks>
[[gnu::noinline]] static void score(const float* queries, const typename Stored::Element* keys, int head_dim,
                                    float* scores) {
    const ptrdiff_t block = static_cast<ptrdiff_t>(head_dim) * kLanes;
    Lanes sums[kQueries][kBlocks];
    for_each<kQueries, kBlocks>([&](int q, int b) { sums[q][b] = zero(); });
    for (int d = 0; d < head_dim; d += 2, queries += 2 * kQueries, keys += 2 * kLanes) {
        Lanes even[kBlocks];
        Lanes odd[kBlocks];
#pragma GCC unroll 8
        for (int b = 0; b < kBlocks; ++b) {
            prefetch<Stored, 2>(keys + b * block);
            even[b] = Stored::even(keys + b * block);
            odd[b] = Stored::odd(keys + b * block);
        }
        multiply_in<kQueries, kBlocks>(queries, 1, even, sums);
        multiply_in<kQueries, kBlocks>(queries + kQueries, 1, odd, sums);
    }
    for_each<kQueries, kBlocks>(
        [&](int q, int b) { store(scores + q * kKeyBlock + b * kLanes, sums[q][b]); });
}

// Adds the values of count positions times their weights. weights: [kQueries][kKeyBlock]; sums:
// [kQueries][stride], of which kChunks vectors.
template <typename Stored, int kQueries, int kChunks>
[[gnu::noinline]] static void add_values(const float* weights, const typename Stored::Element* values,
                                         int count, float* sums, ptrdiff_t stride) {
    Lanes rows[kQueries][kChunks];
    for_each<kQueries, kChunks>([&](int q, int c) { rows[q][c] = load(sums + q * stride + c * kLanes); });
    for (int position = 0; position < count; ++position, values += stride) {
        Lanes loaded[kChunks];
        prefetch<Stored, kChunks>(values);
#pragma GCC unroll 8
        for (int c = 0; c < kChunks; ++c) loaded[c] = Stored::values(values + c * kLanes);
        multiply_in<kQueries, kChunks>(weights + position, kKeyBlock, loaded, rows);
    }
    for_each<kQueries, kChunks>([&](int q, int c) { store(sums + q * stride + c * kLanes, rows[q][c]); });
}

// Positions [begin, end).
struct Range {
    int begin = 0;
    int end = 0;
    bool empty() const { return begin >= end; }
};

// What is known of one query's softmax so far.
struct Running {
    Lanes total;  // of weights, lane by lane
    float most;   // greatest score, or up to kSlack less
};

// Neighbouring queries of a batch that go together.
struct Tile {
    int first = 0;
    int size = 0;
};

template <typename Stored>
class Attention {
public:
    using Element = typename Stored::Element;

    Attention(const AttentionShape& shape, const HeadCache& cache, int start, Scratch scratch)
        : shape_(shape),
          keys_(static_cast<const Element*>(cache.keys)),
          values_(static_cast<const Element*>(cache.values)),
          start_(start),
          stride_(static_cast<ptrdiff_t>(value_stride(shape.head_dim))),
          weights_(reinterpret_cast<float*>(scratch.data)),
          packed_(weights_ + kQueryTile * kKeyBlock),
          sums_(packed_ + kBatch * kMostHeadDim) {}

    // Queries [first, first + count), counted token by token and in a token head by head.
    void attend(int first, int count, const float* queries, ptrdiff_t stride, float* output,
                ptrdiff_t output_stride) {
        begin(first, count);
        pack(first, queries, stride);
        const int begin = seen_[0].begin / kKeyBlock * kKeyBlock;
        for (int block = begin; block < seen_[count - 1].end; block += kKeyBlock) {
            for (int t = 0; t < tile_count_; ++t) attend_block(tiles_[t], block);
        }
        for (int q = 0; q < count; ++q) {
            const auto [token, head] = place(first + q);
            finish(q, output + token * output_stride + head * shape_.head_dim);
        }
    }

private:
    struct Place {
        int token;
        int head;
    };

    Place place(int query) const { return {query / shape_.query_heads, query % shape_.query_heads}; }

    float* tile_queries(const Tile& tile) const {
        return packed_ + static_cast<ptrdiff_t>(tile.first) * shape_.head_dim;
    }

    void begin(int first, int count) {
        for (int q = 0; q < count; ++q) {
            const int position = start_ + place(first + q).token;
            const bool far = shape_.window > 0 && position >= shape_.window;
            seen_[q] = {far ? position - shape_.window + 1 : 0, position + 1};
            running_[q] = {zero(), kNothing};
            float* row = sums_ + q * stride_;
            for (int d = 0; d < stride_; d += kLanes) store(row + d, zero());
        }
        tile_count_ = (count + kQueryTile - 1) / kQueryTile;
        for (int t = 0, done = 0; t < tile_count_; ++t) {
            const int left = tile_count_ - t;
            tiles_[t] = {done, (count - done + left - 1) / left};
            done += tiles_[t].size;
        }
    }

    // Queries of a tile component by component, times all that makes their scores exponents of two; of a
    // capped score: the argument of tanh.
    void pack(int first, const float* queries, ptrdiff_t stride) {
        const bool capped = shape_.softcap > 0;
        const float factor = capped ? shape_.scale / shape_.softcap : shape_.scale * kLog2E;
        for (int t = 0; t < tile_count_; ++t) {
            const Tile& tile = tiles_[t];
            float* packed = tile_queries(tile);
            for (int q = 0; q < tile.size; ++q) {
                const auto [token, head] = place(first + tile.first + q);
                const float* query = queries + token * stride + head * shape_.head_dim;
                for (int d = 0; d < shape_.head_dim; ++d) packed[d * tile.size + q] = query[d] * factor;
            }
        }
    }

    void attend_block(const Tile& tile, int block) {
        Range seen[kQueryTile];
        Range any{kKeyBlock, 0};
        Range shared{0, kKeyBlock};
        for (int q = 0; q < tile.size; ++q) {
            const Range& whole = seen_[tile.first + q];
            const Range part{std::max(whole.begin - block, 0), std::min(whole.end - block, kKeyBlock)};
            seen[q] = part;
            shared = {std::max(shared.begin, part.begin), std::min(shared.end, part.end)};
            if (!part.empty()) any = {std::min(any.begin, part.begin), std::max(any.end, part.end)};
        }
        if (any.empty()) return;
        score_tile(tile, block, any);
        for (int q = 0; q < tile.size; ++q) {
            if (!seen[q].empty()) find_top(tile.first + q, seen[q], weights_ + q * kKeyBlock);
        }
        for (int q = 0; q < tile.size; ++q) {
            if (!seen[q].empty()) weigh(tile.first + q, seen[q], weights_ + q * kKeyBlock);
        }
        // A weight of 0 would not do for positions that only others see: they may hold infinities.
        if (shared.empty()) {
            for (int q = 0; q < tile.size; ++q) mix({tile.first + q, 1}, q, block, seen[q]);
            return;
        }
        for (int q = 0; q < tile.size; ++q) {
            mix({tile.first + q, 1}, q, block, {seen[q].begin, shared.begin});
        }
        mix(tile, 0, block, shared);
        for (int q = 0; q < tile.size; ++q) mix({tile.first + q, 1}, q, block, {shared.end, seen[q].end});
    }

    // Scores of all queries of a tile for the keys of a range of a block, in whole vectors.
    void score_tile(const Tile& tile, int block, Range range) {
        const int first = range.begin / kLanes;
        const int last = (range.end + kLanes - 1) / kLanes;
        const ptrdiff_t key_block = static_cast<ptrdiff_t>(shape_.head_dim) * kLanes;
        const Element* keys = keys_ + (block / kLanes + first) * key_block;
        const float* queries = tile_queries(tile);
        with_constant<kQueryTile>(tile.size, [&](auto size) {
            constexpr int kSize = decltype(size)::value;
            constexpr int kBlocks = vectors_for(kSize);
            int b = first;
            for (; b + kBlocks <= last; b += kBlocks, keys += kBlocks * key_block) {
                score<Stored, kSize, kBlocks>(queries, keys, shape_.head_dim, weights_ + b * kLanes);
            }
            if (b == last) return;
            with_constant<kBlocks>(last - b, [&](auto rest) {
                constexpr int kRest = decltype(rest)::value;
                score<Stored, kSize, kRest>(queries, keys, shape_.head_dim, weights_ + b * kLanes);
            });
        });
    }

    // Leaves of one query's scores those that it sees, and makes their greatest its maximum.
    void find_top(int query, Range seen, float* scores) {
        const int begin = seen.begin / kLanes * kLanes;
        const int last = (seen.end - 1) / kLanes * kLanes;
        if (shape_.softcap > 0) cap_scores(scores, begin, last);
        const Lanes nothing = broadcast(kNothing);
        if (seen.begin > begin) {
            store(scores + begin, between(load(scores + begin), seen.begin - begin, kLanes, nothing));
        }
        if (seen.end < last + kLanes) {
            store(scores + last, between(load(scores + last), 0, seen.end - last, nothing));
        }
        Lanes tops = load(scores + begin);
        for (int p = begin + kLanes; p <= last; p += kLanes) tops = at_least(tops, load(scores + p));
        const float top = largest(tops);
        if (top > running_[query].most + kSlack) correct(query, top);
    }

    // Turns scores into weights.
    void weigh(int query, Range seen, float* scores) {
        Running& running = running_[query];
        const Lanes most = broadcast(running.most);
        Lanes total = running.total;
        for (int p = seen.begin / kLanes * kLanes; p < seen.end; p += kLanes) {
            const Lanes weight = exp2_lanes(difference(load(scores + p), most));
            store(scores + p, weight);
            total = sum(total, weight);
        }
        running.total = total;
    }

    void cap_scores(float* scores, int begin, int last) {
        const Lanes factor = broadcast(shape_.softcap * kLog2E);
        for (int p = begin; p <= last; p += kLanes) {
            store(scores + p, multiply(tanh_lanes(load(scores + p)), factor));
        }
    }

    // Sets the maximum, and makes what was summed under a smaller one comparable.
    void correct(int query, float top) {
        Running& running = running_[query];
        const float before = running.most;
        running.most = top;
        if (before == kNothing) return;
        const Lanes factor = exp2_lanes(broadcast(before - top));
        running.total = multiply(running.total, factor);
        float* row = sums_ + query * stride_;
        for (int d = 0; d < stride_; d += kLanes) store(row + d, multiply(load(row + d), factor));
    }

    // Adds the weighted values of a range of a block to the outputs of a tile, whose weights begin at a row.
    void mix(const Tile& tile, int row, int block, Range range) {
        if (range.empty()) return;
        const Element* values = values_ + static_cast<ptrdiff_t>(block + range.begin) * stride_;
        const float* weights = weights_ + row * kKeyBlock + range.begin;
        float* sums = sums_ + tile.first * stride_;
        const int count = range.end - range.begin;
        const int chunks = static_cast<int>(stride_) / kLanes;
        with_constant<kQueryTile>(tile.size, [&](auto size) {
            constexpr int kSize = decltype(size)::value;
            constexpr int kChunks = vectors_for(kSize);
            int c = 0;
            for (; c + kChunks <= chunks; c += kChunks) {
                add_values<Stored, kSize, kChunks>(weights, values + c * kLanes, count, sums + c * kLanes,
                                                   stride_);
            }
            if (c == chunks) return;
            with_constant<kChunks>(chunks - c, [&](auto rest) {
                constexpr int kRest = decltype(rest)::value;
                add_values<Stored, kSize, kRest>(weights, values + c * kLanes, count, sums + c * kLanes,
                                                 stride_);
            });
        });
    }

    void finish(int query, float* output) {
        const Lanes factor = broadcast(1.0F / total(running_[query].total));
        const float* row = sums_ + query * stride_;
        for_lanes(shape_.head_dim, [&](int offset, int count) {
            store_some(output + offset, multiply(load(row + offset), factor), count);
        });
    }

    const AttentionShape& shape_;
    const Element* keys_;
    const Element* values_;
    int start_;
    ptrdiff_t stride_;  // of values and of sums
    float* weights_;    // [kQueryTile][kKeyBlock]
    float* packed_;     // tile by tile [head_dim][size]
    float* sums_;       // [kBatch][stride_]
    int tile_count_ = 0;
    Tile tiles_[kBatch];
    Range seen_[kBatch];
    Running running_[kBatch];
};

static_assert((kQueryTile * kKeyBlock + 2 * kBatch * kMostHeadDim) * sizeof(float) <= kScratchBytes);

template <typename Stored>
static void attend_stored(const AttentionShape& shape, const HeadCache& cache, int start, int tokens,
                          const float* queries, ptrdiff_t stride, float* output, ptrdiff_t output_stride,
                          Scratch scratch) {
    Attention<Stored> attention(shape, cache, start, scratch);
    const int count = tokens * shape.query_heads;
    for (int first = 0; first < count; first += kBatch) {
        attention.attend(first, std::min(kBatch, count - first), queries, stride, output, output_stride);
    }
}

static void attend(const AttentionShape& shape, const HeadCache& cache, int start, int tokens,
                   const float* queries, ptrdiff_t stride, float* output, ptrdiff_t output_stride,
                   Scratch scratch) {
    const auto chosen = shape.cache_kind == HP_F32 ? attend_stored<StoredFloat> : attend_stored<StoredBf16>;
    chosen(shape, cache, start, tokens, queries, stride, output, output_stride, scratch);
}
