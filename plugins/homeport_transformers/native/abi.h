/* The C interface of the native library, as Python sees it through ctypes (native_library.py mirrors it).
 *
 * All functions may be called from one thread at a time per model. Nothing here throws: failures are a
 * negative number or a null pointer, and hp_last_error() says why.
 */
#ifndef HOMEPORT_ABI_H
#define HOMEPORT_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HP_ABI_VERSION 1

/* Instruction sets, weakest first. */
enum HpIsa { HP_AVX2 = 1, HP_AVX2_VNNI = 2, HP_AVX512 = 3, HP_AMX = 4 };

/* How a matrix is stored. Rows are outputs, columns inputs. */
enum HpKind {
    HP_NONE = 0,
    HP_F32 = 1,    /* row-major float */
    HP_BF16 = 2,   /* row-major bfloat16 */
    HP_Q8 = 3,     /* packed, codes 0..255 stand for (code - 128) * scale */
    HP_Q4 = 4,     /* packed, codes 0..15 stand for (code - 8) * scale */
    HP_Q4_MIN = 5, /* packed, codes 0..15 stand for code * scale + min */
};

/* A weight matrix, in memory that outlives the model (homeport.weights defines the packed layout):
 * codes  Q8: uint8 [strips][cols / 4][16][4]; byte (s, q, r, i) is row 16 s + r, column 4 q + i.
 *        Q4: uint8 [strips][cols / 8][16][4]; byte (s, q, r, i) holds row 16 s + r, column 8 q + i in its
 *        low and column 8 q + 4 + i in its high nibble.
 * scales float16 [strips][cols / group][16]; mins the same, for HP_Q4_MIN only.
 * strips = ceil(rows / 16); group is 32 or 64 and divides cols. Codes of rows past the end are any value,
 * their scales and mins 0. */
struct HpMatrix {
    int32_t kind;
    int32_t rows;
    int32_t cols;
    int32_t group; /* 0 for float matrices */
    const void* codes;
    const uint16_t* scales;
    const uint16_t* mins;
};

enum HpActivation { HP_SILU = 0, HP_GELU_TANH = 1 };

/* One decoder layer. A null vector is left out; vectors are float32. */
struct HpLayer {
    struct HpMatrix query, key, value, output, gate, up, down;
    const float *query_bias, *key_bias, *value_bias, *output_bias, *gate_bias, *up_bias, *down_bias;
    const float* attention_norm;      /* before attention [hidden] */
    const float* attention_post_norm; /* of attention's output, before it is added [hidden] */
    const float* mlp_norm;            /* before the MLP [hidden] */
    const float* mlp_post_norm;       /* of the MLP's output, before it is added [hidden] */
    const float* query_norm;          /* of each head [head_dim] */
    const float* key_norm;
    int32_t window; /* a token sees the last so many, itself included; 0 is all */
    int32_t rotary; /* index of the rotary table, -1 for none */
};

struct HpModel {
    int32_t isa; /* enum HpIsa */
    int32_t threads;
    int32_t layer_count;
    int32_t hidden;
    int32_t mlp;
    int32_t heads;
    int32_t kv_heads;
    int32_t head_dim;   /* a multiple of 2, at most 512 */
    int32_t rotary_dim; /* components of a head that turn: even, at most head_dim */
    int32_t vocabulary;
    int32_t context; /* tokens per slot */
    int32_t slots;
    int32_t activation; /* enum HpActivation */
    int32_t cache_kind; /* HP_F32 or HP_BF16 */
    float norm_epsilon;
    float attention_scale;
    float attention_softcap; /* scores become cap * tanh(score / cap); 0 is off */
    float logit_softcap;
    float embedding_scale;
    int32_t planes; /* int8 codes per input of a packed product: 1, or 2, the second for what the first
                       rounds away, about 16 bits in all */
    struct HpMatrix embedding;
    struct HpMatrix head;
    const float* norm;            /* [hidden] */
    const float* rotary[2];       /* [context][rotary_dim / 2][2]: cosine, sine; component i turns with
                                     i + rotary_dim / 2 */
    const struct HpLayer* layers; /* [layer_count] */
};

/* The next tokens of one sequence, as homeport.TokenRow. */
struct HpRow {
    int32_t slot;
    int32_t start;
    int32_t count;
    int32_t logits; /* how many of its last tokens want logits */
};

/* HP_ABI_VERSION and the bytes of HpModel and of HpLayer, 16 bits each, highest first: a caller with other
 * structs must not call anything else. */
int64_t hp_abi_fingerprint(void);
/* The best instruction set that this CPU has and this library was built for; 0 where there is none. */
int32_t hp_best_isa(void);
/* Whether this CPU has an instruction set that this library was built for. */
int32_t hp_runs_here(int32_t isa);
const char* hp_last_error(void);

/* Builds a model; its matrices and vectors stay the caller's and must outlive it, the struct itself and its
 * layers are copied. Null on failure. */
void* hp_open(const struct HpModel* description);
void hp_close(void* model);
/* Bytes of cache that one token takes, in all layers. */
int64_t hp_cache_bytes_per_token(const void* model);
/* Computes all rows. tokens: ids of all rows, one after the other. logits: float32
 * [sum of rows' logits][vocabulary]. Ids, slots and lengths must have been checked. */
int32_t hp_forward(void* model, const struct HpRow* rows, int32_t row_count, const int32_t* tokens,
                   float* logits);
int32_t hp_copy_prefix(void* model, int32_t source, int32_t target, int32_t length);
/* Gives the memory of a slot behind its first length tokens back to the system. */
int32_t hp_release(void* model, int32_t slot, int32_t length);

/* For tests and benchmarks: y[rows][matrix.rows] = x[rows][matrix.cols] * matrix^T. */
int32_t hp_matmul(int32_t isa, int32_t threads, const struct HpMatrix* matrix, const float* x, int32_t rows,
                  float* y);
/* Bytes per second that so many threads read from memory, over a buffer of so many bytes. */
double hp_read_bandwidth(int32_t threads, int64_t bytes);

#ifdef __cplusplus
}
#endif

#endif
