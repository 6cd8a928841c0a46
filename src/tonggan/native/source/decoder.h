/* A causal language model (Llama, Mistral, Qwen2): its weights in memory, and the steps that it takes.
 *
 * All functions that may be called from outside are declared here; ../decoder.py is their Python face.
 */
#ifndef TONGGAN_DECODER_H
#define TONGGAN_DECODER_H

#include <stdint.h>

#include "kernels.h"
#include "threads.h"

struct shape {
    int32_t vocab_size;
    int32_t dim;
    int32_t intermediate_size;
    int32_t num_layers;
    int32_t num_heads;
    int32_t num_key_value_heads;
    int32_t head_dim;
    int32_t max_length;
    int32_t num_threads;
    float epsilon;
    int32_t sliding_window; /* positions that a token sees, its own included; 0 for all */
};

/* Matrices by number: those of layer l are l * LAYER_MATRICES + one of these; after the last layer come the head and
 * the embeddings. The rows of QUERY and KEY are in the order of interleaved rotary pairs: 2i and 2i + 1 turn together. */
enum matrix_kind { QUERY, KEY, VALUE, OUTPUT, GATE, UP, DOWN, LAYER_MATRICES };

/* Vectors by number, like matrices; after the last layer comes the norm before the head. */
enum vector_kind { ATTENTION_NORM, MLP_NORM, QUERY_BIAS, KEY_BIAS, VALUE_BIAS, LAYER_VECTORS };

/* Rows [first_row of the thread, first_row of the next) of a matrix lie at `shares[thread]`, unit by unit. */
struct matrix {
    enum format format;
    int64_t num_rows;
    int64_t num_columns;
    int64_t tile_bytes;
    int64_t num_bytes;
    int64_t unit;       /* tiles that stay together on one thread */
    int64_t unit_bytes; /* from one unit to the next */
    uint8_t **shares;
};

/* What one thread needs for itself. */
struct scratch {
    uint64_t phase;                /* of `decoder.num_phases`, whose inputs these are */
    struct activations normalized; /* [dim] */
    struct activations attended;   /* [num_heads * head_dim] */
    float *wide;                   /* [max(dim, num_heads * head_dim)] */
};

struct decoder {
    struct shape shape;
    const struct kernels *kernels;
    struct threads *threads;
    struct matrix *matrices;
    float **vectors;
    float *rotary; /* [max_length][head_dim]: cosine and sine of each pair */
    uint8_t *weights;
    /* Of the step under way. */
    float *hidden;  /* [MAX_TOKENS][dim] */
    float *queries; /* [MAX_TOKENS][num_heads * head_dim] */
    float *gates;   /* [MAX_TOKENS][intermediate_size] */
    struct activations inner;
    float *partials; /* grows with the longest context */
    int64_t partials_size;
    struct scratch *scratch;
    uint64_t num_phases; /* of all steps so far */
};

/* The key-value cache, [layer][row][key_value_head][capacity][head_dim] in half precision; keys are rotated. */
struct cache {
    uint16_t *keys;
    uint16_t *values;
    int64_t num_rows;
    int64_t capacity;
};

/* The units [first of the thread, first of the next) of a matrix are a thread's. */
static inline int64_t first_unit(const struct matrix *matrix, int thread, int num_threads) {
    const int64_t rows = matrix->unit * TILE_ROWS;
    return (matrix->num_rows + rows - 1) / rows * thread / num_threads;
}

/* ---- weights.c ---- */

/* The fastest kernels that this processor runs: 0 portable, 1 avx2, 2 avx512. */
int tonggan_best_kernels(void);

/* An empty model, or NULL when memory or threads are refused. `formats` has one entry a matrix. */
struct decoder *tonggan_create(const struct shape *shape, const int32_t *formats, int kernels);
void tonggan_free(struct decoder *decoder);

/* Bytes that the weights take. */
int64_t tonggan_weight_bytes(const struct decoder *decoder);

/* Takes a matrix from GGUF's blocks [num_rows][num_columns / GROUP]. */
void tonggan_set_matrix(struct decoder *decoder, int number, const uint8_t *blocks);
void tonggan_set_vector(struct decoder *decoder, int number, const float *values);
void tonggan_set_rotary(struct decoder *decoder, const float *values);

/* Rows of a matrix as floats [num_rows][num_columns]. */
void tonggan_read_rows(const struct decoder *decoder, int number, int64_t num_rows, const int64_t *rows, float *result);

/* ---- quantize.c ---- */

/* GGUF's blocks nearest to floats [num_rows][num_columns], the columns of which are of the given `importance`. */
void tonggan_quantize(int format, const float *values, const float *importance, int64_t num_rows, int64_t num_columns,
                      uint8_t *blocks);

/* ---- step.c ---- */

/* Appends tokens to the rows of a cache at `positions`; tokens of one row come in order of position. They are `ids`, or
 * `embeddings` [num_tokens][dim] where ids is NULL. For the tokens `outputs`, ascending, gives `logits`
 * [num_outputs][vocab_size] and `hidden` [num_outputs][dim] after the last norm, unless NULL. Returns 0, or an errno. */
int tonggan_step(struct decoder *decoder, const struct cache *cache, int64_t num_tokens, const int64_t *ids,
                 const float *embeddings, const int64_t *rows, const int64_t *positions, int64_t num_outputs,
                 const int64_t *outputs, float *logits, float *hidden);

/* Logits of last hidden states [num_tokens][dim]. */
int tonggan_logits(struct decoder *decoder, int64_t num_tokens, const float *hidden, float *logits);

#endif
