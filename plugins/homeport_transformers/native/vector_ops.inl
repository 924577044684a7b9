// Operations on single vectors, and the elementary functions. Included once per instruction set, inside its
// namespace, behind its lanes_*.hpp.

constexpr int kLanes = 16;
constexpr float kLog2E = 1.44269504F;

// 2^x, within 1e-7 of it relatively; exactly 0 below 2^-125.5, and 2^127.9 at most; of NaN, NaN.
static inline Lanes exp2_lanes(Lanes x) {
    constexpr float kLeast = -125.5F;  // the result stays normal
    constexpr float kMost = 127.9F;
    const Lanes bounded = at_most(at_least(x, broadcast(kLeast)), broadcast(kMost));
    const Lanes power = nearest(bounded);
    const Lanes rest = difference(bounded, power);
    // The polynomial of degree 5 with the smallest relative error on [-0.5, 0.5], 7.5e-8.
    Lanes result = broadcast(1.327647199e-03F);
    result = fma(result, rest, broadcast(9.675541334e-03F));
    result = fma(result, rest, broadcast(5.550713273e-02F));
    result = fma(result, rest, broadcast(2.402211972e-01F));
    result = fma(result, rest, broadcast(6.931469671e-01F));
    result = fma(result, rest, broadcast(1.000000072F));
    return unless_below(x, broadcast(kLeast), scale_by_power(result, power));
}

static inline Lanes exp_lanes(Lanes x) { return exp2_lanes(multiply(x, broadcast(kLog2E))); }

// tanh(x), within 2e-7 of it.
static inline Lanes tanh_lanes(Lanes x) {
    const Lanes one = broadcast(1.0F);
    const Lanes shrunk = exp_lanes(multiply(magnitude(x), broadcast(-2.0F)));
    return with_sign(divide(difference(one, shrunk), sum(one, shrunk)), x);
}

// 1 / (1 + e^-x).
static inline Lanes sigmoid_lanes(Lanes x) {
    const Lanes one = broadcast(1.0F);
    return divide(one, sum(one, exp_lanes(difference(zero(), x))));
}

static void residual(const float* values, int cols, int group, const int8_t* codes, const float* scales,
                     float* out) {
    for (int first = 0; first < cols; first += group) {
        const float scale = scales[first / group];
        for (int col = first; col < first + group; ++col) {
            out[col] = values[col] - static_cast<float>(codes[col]) * scale;
        }
    }
}

static inline Lanes silu_lanes(Lanes x) { return multiply(x, sigmoid_lanes(x)); }

// x / 2 * (1 + tanh(u)) = x * sigmoid(2 u) with u = sqrt(2 / pi) * (x + 0.044715 x^3) (Hendrycks and Gimpel,
// arXiv:1606.08415, section 2).
static inline Lanes gelu_lanes(Lanes x) {
    constexpr float kTwiceRoot = 1.59576912F;
    const Lanes cubic = fma(multiply(x, x), broadcast(kTwiceRoot * 0.044715F), broadcast(kTwiceRoot));
    return multiply(x, sigmoid_lanes(multiply(x, cubic)));
}

// Calls body(offset, count) for each run of 16 elements; count is smaller in the last.
template <typename Body>
[[gnu::always_inline]] static inline void for_lanes(int size, const Body& body) {
    int offset = 0;
    for (; offset + kLanes <= size; offset += kLanes) body(offset, kLanes);
    if (offset < size) body(offset, size - offset);
}

// Whole vectors are loaded and stored without a mask: count is a constant once inlined.
[[gnu::always_inline]] static inline Lanes load_some(const float* from, int count) {
    return count == kLanes ? load(from) : load_first(from, count);
}
[[gnu::always_inline]] static inline void store_some(float* to, Lanes x, int count) {
    if (count == kLanes) {
        store(to, x);
    } else {
        store_first(to, x, count);
    }
}

static float sum_of_squares(const float* values, int size) {
    constexpr int kChains = 4;  // independent sums hide the latency of FMA
    Lanes sums[kChains] = {zero(), zero(), zero(), zero()};
    int offset = 0;
    for (; offset + kChains * kLanes <= size; offset += kChains * kLanes) {
        for (int chain = 0; chain < kChains; ++chain) {
            const Lanes x = load(values + offset + chain * kLanes);
            sums[chain] = fma(x, x, sums[chain]);
        }
    }
    for_lanes(size - offset, [&](int more, int count) {
        const Lanes x = load_some(values + offset + more, count);
        sums[0] = fma(x, x, sums[0]);
    });
    return total(sum(sum(sums[0], sums[1]), sum(sums[2], sums[3])));
}

static void rms_norm(const float* values, const float* weight, int size, float epsilon, float* out) {
    const float mean = sum_of_squares(values, size) / static_cast<float>(size);
    const Lanes factor = broadcast(1.0F / __builtin_sqrtf(mean + epsilon));
    for_lanes(size, [&](int offset, int count) {
        const Lanes x = multiply(load_some(values + offset, count), factor);
        store_some(out + offset, multiply(x, load_some(weight + offset, count)), count);
    });
}

static void rotate(float* head, const float* table, int rotary_dim) {
    const int half = rotary_dim / 2;
    int i = 0;
    for (; i + kLanes <= half; i += kLanes) {
        Lanes cosine = zero();
        Lanes sine = zero();
        load_pairs(table + static_cast<ptrdiff_t>(2) * i, cosine, sine);
        const Lanes near = load(head + i);
        const Lanes far = load(head + half + i);
        store(head + i, negated_fma(far, sine, multiply(near, cosine)));
        store(head + half + i, fma(near, sine, multiply(far, cosine)));
    }
    for (; i < half; ++i) {
        const float cosine = table[2 * i];
        const float sine = table[2 * i + 1];
        const float near = head[i];
        const float far = head[half + i];
        head[i] = near * cosine - far * sine;
        head[half + i] = far * cosine + near * sine;
    }
}

static void gate(float* values, const float* up, int size, int activation) {
    const auto apply = [&](auto function) {
        for_lanes(size, [&](int offset, int count) {
            const Lanes x = function(load_some(values + offset, count));
            store_some(values + offset, multiply(x, load_some(up + offset, count)), count);
        });
    };
    if (activation == HP_SILU) {
        apply([](Lanes x) { return silu_lanes(x); });
    } else {
        apply([](Lanes x) { return gelu_lanes(x); });
    }
}

static void add(float* values, const float* others, int size) {
    for_lanes(size, [&](int offset, int count) {
        const Lanes x = sum(load_some(values + offset, count), load_some(others + offset, count));
        store_some(values + offset, x, count);
    });
}

static void softcap(float* values, int size, float cap) {
    const Lanes factor = broadcast(cap);
    const Lanes inverse = broadcast(1.0F / cap);
    for_lanes(size, [&](int offset, int count) {
        const Lanes x = multiply(load_some(values + offset, count), inverse);
        store_some(values + offset, multiply(tanh_lanes(x), factor), count);
    });
}
