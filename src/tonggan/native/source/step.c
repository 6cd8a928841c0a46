/* One step of a model: the phases that its threads go through together, for up to MAX_TOKENS tokens at once.
 *
 * Between two barriers each thread makes the rows of outputs whose weights are its own. What is small (norms, merging
 * attention, quantizing) every thread computes for itself, because that is cheaper than one barrier more.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"

struct step {
    struct decoder *decoder;
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

static int64_t query_size(const struct shape *shape) { return (int64_t)shape->num_heads * shape->head_dim; }

static int64_t num_chunks(int64_t position) { return position / CHUNK + 1; }

static const float *vector_of(const struct decoder *decoder, int layer, enum vector_kind kind) {
    return decoder->vectors[layer * LAYER_VECTORS + (int)kind];
}

static void multiply(const struct step *step, int number, const struct activations *inputs, int num_tokens, int thread,
                     finish *finish) {
    const struct decoder *decoder = step->decoder;
    const struct matrix *matrix = &decoder->matrices[number];
    const int64_t first = first_tile(matrix, thread, decoder->shape.num_threads);
    const int64_t last = first_tile(matrix, thread + 1, decoder->shape.num_threads);
    float products[MAX_TOKENS * TILE_ROWS] __attribute__((aligned(64)));
    for (int64_t tile = first; tile < last; tile++) {
        const uint8_t *weights = matrix->shares[thread] + (tile - first) * matrix->tile_bytes;
        decoder->kernels->multiply[matrix->format](weights, inputs, num_tokens, products);
        finish(step, number / LAYER_MATRICES, tile * TILE_ROWS, products);
    }
}

/* Adds the bias and turns each pair by its position's angle, times `scale`. */
static void rotate(const struct decoder *decoder, int64_t position, int64_t row, const float *bias,
                   const float *products, float scale, float *result) {
    const int head_dim = decoder->shape.head_dim;
    const float *rotary = decoder->rotary + position * head_dim + row % head_dim;
    for (int place = 0; place < TILE_ROWS; place += 2) {
        const float cosine = rotary[place] * scale, sine = rotary[place + 1] * scale;
        const float first = products[place] + bias[row + place], second = products[place + 1] + bias[row + place + 1];
        result[place] = first * cosine - second * sine;
        result[place + 1] = second * cosine + first * sine;
    }
}

static void finish_query(const struct step *step, int layer, int64_t row, const float *products) {
    const struct decoder *decoder = step->decoder;
    const float scale = 1.0f / sqrtf((float)decoder->shape.head_dim);
    for (int token = 0; token < step->num_tokens; token++)
        rotate(decoder, step->positions[token], row, vector_of(decoder, layer, QUERY_BIAS),
               products + token * TILE_ROWS, scale, decoder->queries + token * query_size(&decoder->shape) + row);
}

/* Where a token's key or value for an output row lies, as an offset into the cache. */
static int64_t cache_place(const struct step *step, int layer, int token, int64_t row) {
    const struct shape *shape = &step->decoder->shape;
    const struct cache *cache = step->cache;
    const int64_t sequence = layer * cache->num_rows + step->rows[token];
    const int64_t head = sequence * shape->num_key_value_heads + row / shape->head_dim;
    return (head * cache->capacity + step->positions[token]) * shape->head_dim + row % shape->head_dim;
}

static void finish_key(const struct step *step, int layer, int64_t row, const float *products) {
    const struct decoder *decoder = step->decoder;
    float rotated[TILE_ROWS];
    for (int token = 0; token < step->num_tokens; token++) {
        rotate(decoder, step->positions[token], row, vector_of(decoder, layer, KEY_BIAS), products + token * TILE_ROWS,
               1.0f, rotated);
        decoder->kernels->to_half(rotated, TILE_ROWS, step->cache->keys + cache_place(step, layer, token, row));
    }
}

static void finish_value(const struct step *step, int layer, int64_t row, const float *products) {
    const struct decoder *decoder = step->decoder;
    const float *bias = vector_of(decoder, layer, VALUE_BIAS) + row;
    float sums[TILE_ROWS];
    for (int token = 0; token < step->num_tokens; token++) {
        for (int place = 0; place < TILE_ROWS; place++) sums[place] = products[token * TILE_ROWS + place] + bias[place];
        decoder->kernels->to_half(sums, TILE_ROWS, step->cache->values + cache_place(step, layer, token, row));
    }
}

static void finish_residual(const struct step *step, int layer, int64_t row, const float *products) {
    (void)layer;
    const struct decoder *decoder = step->decoder;
    for (int token = 0; token < step->num_tokens; token++)
        for (int place = 0; place < TILE_ROWS; place++)
            decoder->hidden[(int64_t)token * decoder->shape.dim + row + place] += products[token * TILE_ROWS + place];
}

static void finish_gate(const struct step *step, int layer, int64_t row, const float *products) {
    (void)layer;
    const struct decoder *decoder = step->decoder;
    for (int token = 0; token < step->num_tokens; token++)
        memcpy(decoder->gates + (int64_t)token * decoder->shape.intermediate_size + row, products + token * TILE_ROWS,
               TILE_ROWS * sizeof *products);
}

static void finish_up(const struct step *step, int layer, int64_t row, const float *products) {
    (void)layer;
    const struct decoder *decoder = step->decoder;
    for (int token = 0; token < step->num_tokens; token++) {
        float *gates = decoder->gates + (int64_t)token * decoder->shape.intermediate_size + row;
        decoder->kernels->gate(gates, products + token * TILE_ROWS, TILE_ROWS, gates);
    }
}

static void finish_logits(const struct step *step, int layer, int64_t row, const float *products) {
    (void)layer;
    const int64_t vocab_size = step->decoder->shape.vocab_size;
    const int64_t count = row + TILE_ROWS <= vocab_size ? TILE_ROWS : vocab_size - row;
    for (int output = 0; output < step->num_outputs; output++)
        memcpy(step->logits + output * vocab_size + row, products + output * TILE_ROWS,
               (size_t)count * sizeof *products);
}

static void quantize_normalized(const struct step *step, const float *weight, struct scratch *scratch) {
    const struct decoder *decoder = step->decoder;
    const int64_t dim = decoder->shape.dim;
    for (int token = 0; token < step->num_tokens; token++) {
        decoder->kernels->normalize(decoder->hidden + token * dim, weight, decoder->shape.epsilon, dim, scratch->wide);
        decoder->kernels->quantize(scratch->wide, dim, &scratch->normalized, token);
    }
}

/* Units of attention are (token, key-value head, chunk of positions), in this order; a thread takes a run of them. */
static void attend(const struct step *step, int layer, int thread) {
    const struct decoder *decoder = step->decoder;
    const struct shape *shape = &decoder->shape;
    const int group_size = shape->num_heads / shape->num_key_value_heads;
    const int64_t partial_size = shape->head_dim + PARTIAL_EXTRA;
    int64_t num_units = 0;
    for (int token = 0; token < step->num_tokens; token++)
        num_units += shape->num_key_value_heads * num_chunks(step->positions[token]);
    int64_t unit = num_units * thread / shape->num_threads;
    const int64_t last = num_units * (thread + 1) / shape->num_threads;
    int64_t before = 0; /* units of earlier tokens */
    for (int token = 0; token < step->num_tokens && unit < last; token++) {
        const int64_t chunks = num_chunks(step->positions[token]);
        const int64_t end = before + shape->num_key_value_heads * chunks;
        for (; unit < last && unit < end; unit++) {
            const int64_t head = (unit - before) / chunks;
            const int64_t start = (unit - before) % chunks * CHUNK;
            const int64_t length = step->positions[token] + 1 - start;
            const int64_t place = cache_place(step, layer, token, head * shape->head_dim) +
                                  (start - step->positions[token]) * shape->head_dim;
            decoder->kernels->attend(
                decoder->queries + token * query_size(shape) + head * group_size * shape->head_dim, group_size,
                step->cache->keys + place, step->cache->values + place, (int)(length < CHUNK ? length : CHUNK),
                shape->head_dim,
                decoder->partials + step->partial_offsets[token] + (unit - before) * group_size * partial_size);
        }
        before = end;
    }
}

static void quantize_attention(const struct step *step, struct scratch *scratch) {
    const struct decoder *decoder = step->decoder;
    const struct shape *shape = &decoder->shape;
    const int group_size = shape->num_heads / shape->num_key_value_heads;
    const int64_t partial_size = shape->head_dim + PARTIAL_EXTRA;
    for (int token = 0; token < step->num_tokens; token++) {
        const int64_t chunks = num_chunks(step->positions[token]);
        for (int head = 0; head < shape->num_heads; head++) {
            const int64_t place = (head / group_size * chunks * group_size + head % group_size) * partial_size;
            decoder->kernels->merge(decoder->partials + step->partial_offsets[token] + place, (int)chunks,
                                    group_size * partial_size, shape->head_dim,
                                    scratch->wide + head * shape->head_dim);
        }
        decoder->kernels->quantize(scratch->wide, query_size(shape), &scratch->attended, token);
    }
}

/* The thread's own share of silu(gate) * up; its groups are whole (see `describe` in weights.c). */
static void quantize_inner(const struct step *step, int layer, int thread) {
    struct decoder *decoder = step->decoder;
    const struct matrix *up = &decoder->matrices[layer * LAYER_MATRICES + UP];
    const int64_t first = first_tile(up, thread, decoder->shape.num_threads) * TILE_ROWS;
    const int64_t width = first_tile(up, thread + 1, decoder->shape.num_threads) * TILE_ROWS - first;
    struct activations share = decoder->inner;
    share.values += first;
    share.scales += first / GROUP;
    share.sums += first / GROUP;
    share.int8_starts += first / GROUP;
    share.int4_starts += first / GROUP;
    for (int token = 0; token < step->num_tokens; token++)
        decoder->kernels->quantize(decoder->gates + (int64_t)token * decoder->shape.intermediate_size + first, width,
                                   &share, token);
}

static void run_layer(const struct step *step, int layer, int thread) {
    struct decoder *decoder = step->decoder;
    struct scratch *scratch = &decoder->scratch[thread];
    const int number = layer * LAYER_MATRICES;
    const int count = step->num_tokens;
    quantize_normalized(step, vector_of(decoder, layer, ATTENTION_NORM), scratch);
    multiply(step, number + QUERY, &scratch->normalized, count, thread, finish_query);
    multiply(step, number + KEY, &scratch->normalized, count, thread, finish_key);
    multiply(step, number + VALUE, &scratch->normalized, count, thread, finish_value);
    threads_barrier(decoder->threads);
    attend(step, layer, thread);
    threads_barrier(decoder->threads);
    quantize_attention(step, scratch);
    multiply(step, number + OUTPUT, &scratch->attended, count, thread, finish_residual);
    threads_barrier(decoder->threads);
    quantize_normalized(step, vector_of(decoder, layer, MLP_NORM), scratch);
    multiply(step, number + GATE, &scratch->normalized, count, thread, finish_gate);
    multiply(step, number + UP, &scratch->normalized, count, thread, finish_up);
    quantize_inner(step, layer, thread);
    threads_barrier(decoder->threads);
    multiply(step, number + DOWN, &decoder->inner, count, thread, finish_residual);
    threads_barrier(decoder->threads);
}

static void run_head(const struct step *step, int thread) {
    const struct decoder *decoder = step->decoder;
    if (step->num_outputs == 0 || step->logits == NULL) return;
    struct scratch *scratch = &decoder->scratch[thread];
    for (int output = 0; output < step->num_outputs; output++)
        decoder->kernels->quantize(step->last_hidden + (int64_t)output * decoder->shape.dim, decoder->shape.dim,
                                   &scratch->normalized, output);
    multiply(step, decoder->shape.num_layers * LAYER_MATRICES, &scratch->normalized, step->num_outputs, thread,
             finish_logits);
}

static void run_step(void *argument, int thread) {
    const struct step *step = argument;
    struct decoder *decoder = step->decoder;
    const int64_t dim = decoder->shape.dim;
    for (int layer = 0; layer < decoder->shape.num_layers; layer++) run_layer(step, layer, thread);
    if (thread == 0)
        for (int output = 0; output < step->num_outputs; output++)
            decoder->kernels->normalize(decoder->hidden + step->outputs[output] * dim,
                                        vector_of(decoder, decoder->shape.num_layers, ATTENTION_NORM),
                                        decoder->shape.epsilon, dim, step->last_hidden + output * dim);
    threads_barrier(decoder->threads);
    run_head(step, thread);
}

static void run_logits(void *argument, int thread) { run_head(argument, thread); }

static bool reserve_partials(struct step *step) {
    struct decoder *decoder = step->decoder;
    const struct shape *shape = &decoder->shape;
    int64_t size = 0;
    for (int token = 0; token < step->num_tokens; token++) {
        step->partial_offsets[token] = size;
        size += num_chunks(step->positions[token]) * shape->num_heads * (shape->head_dim + PARTIAL_EXTRA);
    }
    if (size <= decoder->partials_size) return true;
    free(decoder->partials);
    decoder->partials = malloc((size_t)size * 2 * sizeof *decoder->partials);
    decoder->partials_size = decoder->partials == NULL ? 0 : size * 2;
    return decoder->partials != NULL;
}

static bool legal(const struct decoder *decoder, const struct cache *cache, int64_t num_tokens, const int64_t *ids,
                  const int64_t *rows, const int64_t *positions) {
    for (int64_t token = 0; token < num_tokens; token++) {
        if (ids != NULL && (ids[token] < 0 || ids[token] >= decoder->shape.vocab_size)) return false;
        if (rows[token] < 0 || rows[token] >= cache->num_rows) return false;
        if (positions[token] < 0 || positions[token] >= cache->capacity) return false;
        if (positions[token] >= decoder->shape.max_length) return false;
    }
    return true;
}

/* One block of a call's tokens, given as ids or else as embeddings. Returns 0, or an errno. */
static int run_tokens(struct step *step, const int64_t *ids, const float *embeddings) {
    struct decoder *decoder = step->decoder;
    const int64_t dim = decoder->shape.dim;
    if (!reserve_partials(step)) return ENOMEM;
    if (ids != NULL)
        tonggan_read_rows(decoder, decoder->shape.num_layers * LAYER_MATRICES + 1, step->num_tokens, ids,
                          decoder->hidden);
    else
        memcpy(decoder->hidden, embeddings, (size_t)(step->num_tokens * dim) * sizeof *embeddings);
    threads_run(decoder->threads, run_step, step);
    return 0;
}

int tonggan_step(struct decoder *decoder, const struct cache *cache, int64_t num_tokens, const int64_t *ids,
                 const float *embeddings, const int64_t *rows, const int64_t *positions, int64_t num_outputs,
                 const int64_t *outputs, float *logits, float *hidden) {
    if (!legal(decoder, cache, num_tokens, ids, rows, positions)) return EINVAL;
    if (!threads_acquire(decoder->threads)) return EAGAIN;
    const int64_t dim = decoder->shape.dim;
    int64_t output = 0;
    int error = 0;
    for (int64_t first = 0; first < num_tokens && error == 0; first += MAX_TOKENS) {
        const int count = (int)(num_tokens - first < MAX_TOKENS ? num_tokens - first : MAX_TOKENS);
        struct step step = {
            .decoder = decoder,
            .cache = cache,
            .num_tokens = count,
            .rows = rows + first,
            .positions = positions + first,
            .logits = logits == NULL ? NULL : logits + output * decoder->shape.vocab_size,
            .last_hidden = hidden + output * dim,
        };
        for (; output < num_outputs && outputs[output] < first + count; output++)
            step.outputs[step.num_outputs++] = (int)(outputs[output] - first);
        error = run_tokens(&step, ids == NULL ? NULL : ids + first, ids == NULL ? embeddings + first * dim : NULL);
    }
    threads_release(decoder->threads);
    return error;
}

int tonggan_logits(struct decoder *decoder, int64_t num_tokens, const float *hidden, float *logits) {
    if (!threads_acquire(decoder->threads)) return EAGAIN;
    for (int64_t first = 0; first < num_tokens; first += MAX_TOKENS) {
        struct step step = {
            .decoder = decoder,
            .num_outputs = (int)(num_tokens - first < MAX_TOKENS ? num_tokens - first : MAX_TOKENS),
            .logits = logits + first * decoder->shape.vocab_size,
            .last_hidden = (float *)hidden + first * decoder->shape.dim,
        };
        threads_run(decoder->threads, run_logits, &step);
    }
    threads_release(decoder->threads);
    return 0;
}
