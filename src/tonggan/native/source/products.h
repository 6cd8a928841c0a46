/* What the threads of one step share, where its parts lie, and its matrix products. */
#ifndef TONGGAN_PRODUCTS_H
#define TONGGAN_PRODUCTS_H

#include "decoder.h"

struct step {
    struct decoder *decoder;
    uint64_t first_phase; /* of `decoder.num_phases` */
    const struct cache *cache;
    int num_tokens;
    const int64_t *rows;
    const int64_t *positions;
    int64_t partial_offsets[MAX_TOKENS]; /* where a token's partial results begin, in floats */
    int num_outputs;
    int outputs[MAX_TOKENS];
    float *logits;
    float *last_hidden;
};

/* What becomes of a tile's products [num_tokens][TILE_ROWS], whose first row in the matrix is `row`. */
typedef void finish(const struct step *step, int layer, int64_t row, const float *products);

static inline int64_t query_size(const struct shape *shape) { return (int64_t)shape->num_heads * shape->head_dim; }

static inline const float *vector_of(const struct decoder *decoder, int layer, enum vector_kind kind) {
    return decoder->vectors[layer * LAYER_VECTORS + (int)kind];
}

struct range {
    int64_t first;
    int64_t last;
};

static inline struct range share_of(const struct step *step, const struct matrix *matrix, int share) {
    const int num_threads = step->decoder->shape.num_threads;
    return (struct range){first_unit(matrix, share, num_threads), first_unit(matrix, share + 1, num_threads)};
}

static inline struct range part_of(struct range whole, struct part part) {
    const int64_t size = whole.last - whole.first;
    return (struct range){whole.first + size * part.number / part.count,
                          whole.first + size * (part.number + 1) / part.count};
}

/* Where a token's key or value for an output row lies, as an offset into the cache. */
static inline int64_t cache_place(const struct step *step, int layer, int token, int64_t row) {
    const struct shape *shape = &step->decoder->shape;
    const struct cache *cache = step->cache;
    const int64_t sequence = layer * cache->num_rows + step->rows[token];
    const int64_t head = sequence * shape->num_key_value_heads + row / shape->head_dim;
    return (head * cache->capacity + step->positions[token]) * shape->head_dim + row % shape->head_dim;
}

#pragma GCC visibility push(hidden) /* such plain names are for this library alone */

finish finish_query, finish_key, finish_value, finish_residual, finish_gate, finish_up, finish_logits;

/* One unit of a matrix, whose `weights` are a thread's own. */
void multiply_unit(const struct step *step, int number, const uint8_t *weights, int64_t unit,
                   const struct activations *inputs, int num_tokens, finish *finish);

/* Matrices from `number` on whose inputs are the same, each with its own `finishes`, as if they were one. */
void multiply(const struct step *step, int number, int num_matrices, finish *const *finishes,
              const struct activations *inputs, int num_tokens, struct part part);

#pragma GCC visibility pop

#endif
