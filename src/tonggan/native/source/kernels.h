/* The arithmetic of a decoding step, in one table of functions per kind of processor.
 *
 * Each kind includes kernels_body.h with its own vector primitives, so that the algorithms stand once. What order the
 * pieces run in, and on which thread, is not decided here (decoder.c).
 */
#ifndef TONGGAN_KERNELS_H
#define TONGGAN_KERNELS_H

#include <stdint.h>

enum {
    TILE_ROWS = 16,  /* rows of a weight matrix whose bytes lie side by side: one register's worth of outputs */
    GROUP = 32,      /* weights, or activations, that share a scale (as in GGUF) */
    BLOCK = 64,      /* two groups: their 2 x 16 half-precision scales fill one cache line */
    MAX_TOKENS = 32, /* tokens computed at once; beyond it arithmetic, not memory, is the limit */
    CHUNK = 64,      /* cached positions that one unit of attention reads */
};

/* Weights of a group: scale * byte, scale * (nibble - 8), scale * nibble + minimum (GGUF's Q8_0, Q4_0, Q4_1). */
enum format { FORMAT_INT8, FORMAT_INT4, FORMAT_INT4_MINIMUM, NUM_FORMATS };

/* Tokens quantized to 8 bits by groups: values[token][width], the rest [token][width / GROUP]. */
struct activations {
    int8_t *values;
    float *scales;
    float *sums;          /* of a group's values, times its scale: what a minimum is multiplied with */
    int32_t *int8_starts; /* where the sum of products starts, to make good for weights stored with an offset */
    int32_t *int4_starts;
    int64_t width; /* a multiple of BLOCK; what lies beyond the real width is zero */
};

struct kernels {
    const char *name;
    /* output[token][row] of one tile of weights. */
    void (*multiply[NUM_FORMATS])(const uint8_t *tile, const struct activations *inputs, int num_tokens, float *output);
    void (*quantize)(const float *values, int64_t width, struct activations *result, int token);
    /* Root-mean-square normalization. */
    void (*normalize)(const float *values, const float *weight, float epsilon, int64_t width, float *result);
    /* result = silu(gate) * up; count is a multiple of TILE_ROWS. */
    void (*gate)(const float *gate, const float *up, int64_t count, float *result);
    void (*to_half)(const float *values, int64_t count, uint16_t *result);
    /* Attention of `num_queries` queries [num_queries][head_dim] over `count` <= CHUNK positions. Each partial result
     * holds head_dim weighted sums, then the largest score and the sum of weights; see PARTIAL_EXTRA. */
    void (*attend)(const float *queries, int num_queries, const uint16_t *keys, const uint16_t *values, int count,
                   int head_dim, float *partials);
    /* One head's output from the partial results of its chunks, which lie `stride` floats apart. */
    void (*merge)(const float *partials, int num_chunks, int64_t stride, int head_dim, float *result);
};

enum { PARTIAL_EXTRA = 16 }; /* floats after a partial result's head_dim: the score, the weight, and alignment */

extern const struct kernels portable_kernels;
#if defined(__x86_64__)
extern const struct kernels avx2_kernels;
extern const struct kernels avx512_kernels;
#endif

/* Bytes of a group in a GGUF file. */
static inline int64_t gguf_block_bytes(enum format format) {
    return format == FORMAT_INT8 ? 2 + GROUP : (format == FORMAT_INT4 ? 2 : 4) + GROUP / 2;
}

/* Bytes of scales and minimums at the head of a block of a tile, and of the whole block. */
static inline int64_t header_bytes(enum format format) {
    return format == FORMAT_INT4_MINIMUM ? 4 * BLOCK / GROUP * TILE_ROWS : 2 * BLOCK / GROUP * TILE_ROWS;
}

static inline int64_t quant_bytes(enum format format) { return TILE_ROWS * BLOCK / (format == FORMAT_INT8 ? 1 : 2); }

static inline int64_t block_bytes(enum format format) { return header_bytes(format) + quant_bytes(format); }

#endif
