/* Matrix products of a step, and what becomes of them tile by tile, while they are still in registers' reach. */
#include <math.h>
#include <string.h>

#include "products.h"

void multiply_unit(const struct step *step, int number, const uint8_t *weights, int64_t unit,
                   const struct activations *inputs, int num_tokens, finish *finish) {
    const struct decoder *decoder = step->decoder;
    const struct matrix *matrix = &decoder->matrices[number];
    float products[MAX_TOKENS * TILE_ROWS] __attribute__((aligned(64)));
    for (int64_t tile = 0; tile < matrix->unit; tile++) {
        decoder->kernels->multiply[matrix->format](weights + tile * matrix->tile_bytes, inputs, num_tokens, products);
        finish(step, number / LAYER_MATRICES, (unit * matrix->unit + tile) * TILE_ROWS, products);
    }
}

void multiply(const struct step *step, int number, int num_matrices, finish *const *finishes,
              const struct activations *inputs, int num_tokens, struct part part) {
    const struct matrix *matrices = &step->decoder->matrices[number];
    struct range all = {0, 0};
    for (int index = 0; index < num_matrices; index++) {
        const struct range share = share_of(step, &matrices[index], part.share);
        all.last += share.last - share.first;
    }
    const struct range wanted = part_of(all, part);
    int64_t before = 0; /* units of earlier matrices */
    for (int index = 0; index < num_matrices && before < wanted.last; index++) {
        const struct matrix *matrix = &matrices[index];
        const struct range share = share_of(step, matrix, part.share);
        const int64_t size = share.last - share.first;
        const int64_t last = wanted.last - before < size ? wanted.last - before : size;
        for (int64_t unit = wanted.first > before ? wanted.first - before : 0; unit < last; unit++)
            multiply_unit(step, number + index, matrix->shares[part.share] + unit * matrix->unit_bytes,
                          share.first + unit, inputs, num_tokens, finishes[index]);
        before += size;
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

void finish_query(const struct step *step, int layer, int64_t row, const float *products) {
    const struct decoder *decoder = step->decoder;
    const float scale = 1.0f / sqrtf((float)decoder->shape.head_dim);
    for (int token = 0; token < step->num_tokens; token++)
        rotate(decoder, step->positions[token], row, vector_of(decoder, layer, QUERY_BIAS),
               products + token * TILE_ROWS, scale, decoder->queries + token * query_size(&decoder->shape) + row);
}

void finish_key(const struct step *step, int layer, int64_t row, const float *products) {
    const struct decoder *decoder = step->decoder;
    float rotated[TILE_ROWS];
    for (int token = 0; token < step->num_tokens; token++) {
        rotate(decoder, step->positions[token], row, vector_of(decoder, layer, KEY_BIAS), products + token * TILE_ROWS,
               1.0f, rotated);
        decoder->kernels->to_half(rotated, TILE_ROWS, step->cache->keys + cache_place(step, layer, token, row));
    }
}

void finish_value(const struct step *step, int layer, int64_t row, const float *products) {
    const struct decoder *decoder = step->decoder;
    const float *bias = vector_of(decoder, layer, VALUE_BIAS) + row;
    float sums[TILE_ROWS];
    for (int token = 0; token < step->num_tokens; token++) {
        for (int place = 0; place < TILE_ROWS; place++) sums[place] = products[token * TILE_ROWS + place] + bias[place];
        decoder->kernels->to_half(sums, TILE_ROWS, step->cache->values + cache_place(step, layer, token, row));
    }
}

void finish_residual(const struct step *step, int layer, int64_t row, const float *products) {
    (void)layer;
    const struct decoder *decoder = step->decoder;
    for (int token = 0; token < step->num_tokens; token++)
        for (int place = 0; place < TILE_ROWS; place++)
            decoder->hidden[(int64_t)token * decoder->shape.dim + row + place] += products[token * TILE_ROWS + place];
}

void finish_gate(const struct step *step, int layer, int64_t row, const float *products) {
    (void)layer;
    const struct decoder *decoder = step->decoder;
    for (int token = 0; token < step->num_tokens; token++)
        memcpy(decoder->gates + (int64_t)token * decoder->shape.intermediate_size + row, products + token * TILE_ROWS,
               TILE_ROWS * sizeof *products);
}

void finish_up(const struct step *step, int layer, int64_t row, const float *products) {
    (void)layer;
    const struct decoder *decoder = step->decoder;
    for (int token = 0; token < step->num_tokens; token++) {
        float *gates = decoder->gates + (int64_t)token * decoder->shape.intermediate_size + row;
        decoder->kernels->gate(gates, products + token * TILE_ROWS, TILE_ROWS, gates);
    }
}

void finish_logits(const struct step *step, int layer, int64_t row, const float *products) {
    (void)layer;
    const int64_t vocab_size = step->decoder->shape.vocab_size;
    const int64_t count = row + TILE_ROWS <= vocab_size ? TILE_ROWS : vocab_size - row;
    for (int output = 0; output < step->num_outputs; output++)
        memcpy(step->logits + output * vocab_size + row, products + output * TILE_ROWS,
               (size_t)count * sizeof *products);
}
