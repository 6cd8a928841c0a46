/* One step of a model: the phases that its threads go through together, for up to MAX_TOKENS tokens at once.
 *
 * In a phase each thread makes the rows of outputs whose weights are its own, and then those that another thread has
 * not begun. What is small (norms, merging attention, quantizing) every thread that takes part computes for itself,
 * because that is cheaper than one phase more. No result depends on who computes it.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "products.h"

/* The phases of a layer; after the last layer come two more. */
enum phase_kind { PROJECT, ATTEND, ADD_ATTENTION, ACTIVATE, ADD_MLP, LAYER_PHASES };
enum { LAST_PHASES = 2 };

/* A thread's share of a phase is cut into parts, so that one that comes late finds something left. */
enum {
    PART_BYTES = 1 << 18, /* of weights: some 30 microseconds */
    MAX_PARTS = 64,
    PART_UNITS = 8,       /* of attention */
};

/* The first position that a token sees. */
static int64_t first_visible(const struct step *step, int token) {
    const int64_t window = step->decoder->shape.sliding_window, position = step->positions[token];
    return window > 0 && position >= window ? position - window + 1 : 0;
}

/* Chunks of positions that a token sees. */
static int64_t num_chunks(const struct step *step, int token) {
    return (step->positions[token] - first_visible(step, token)) / CHUNK + 1;
}

/* Whether a thread has yet to make its inputs of this phase. */
static bool enters(const struct step *step, int phase, struct scratch *scratch) {
    const uint64_t current = step->first_phase + (uint64_t)phase;
    const bool result = scratch->phase != current;
    scratch->phase = current;
    return result;
}

static void quantize_normalized(const struct step *step, const float *weight, struct scratch *scratch) {
    const struct decoder *decoder = step->decoder;
    const int64_t dim = decoder->shape.dim;
    for (int token = 0; token < step->num_tokens; token++) {
        decoder->kernels->normalize(decoder->hidden + token * dim, weight, decoder->shape.epsilon, dim, scratch->wide);
        decoder->kernels->quantize(scratch->wide, dim, &scratch->normalized, token);
    }
}

/* Units of attention are (token, key-value head, chunk of positions), in this order; a part is a run of them. */
static int64_t num_attention_units(const struct step *step) {
    int64_t result = 0;
    for (int token = 0; token < step->num_tokens; token++)
        result += step->decoder->shape.num_key_value_heads * num_chunks(step, token);
    return result;
}

static void attend(const struct step *step, int layer, struct part part) {
    const struct decoder *decoder = step->decoder;
    const struct shape *shape = &decoder->shape;
    const int group_size = shape->num_heads / shape->num_key_value_heads;
    const int64_t partial_size = shape->head_dim + PARTIAL_EXTRA;
    const int64_t num_units = num_attention_units(step);
    const struct range share = {num_units * part.share / shape->num_threads,
                                num_units * (part.share + 1) / shape->num_threads};
    const struct range units = part_of(share, part);
    const int64_t last = units.last;
    int64_t unit = units.first;
    int64_t before = 0; /* units of earlier tokens */
    for (int token = 0; token < step->num_tokens && unit < last; token++) {
        const int64_t chunks = num_chunks(step, token);
        const int64_t end = before + shape->num_key_value_heads * chunks;
        for (; unit < last && unit < end; unit++) {
            const int64_t head = (unit - before) / chunks;
            const int64_t start = first_visible(step, token) + (unit - before) % chunks * CHUNK;
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
        const int64_t chunks = num_chunks(step, token);
        for (int head = 0; head < shape->num_heads; head++) {
            const int64_t place = (head / group_size * chunks * group_size + head % group_size) * partial_size;
            decoder->kernels->merge(decoder->partials + step->partial_offsets[token] + place, (int)chunks,
                                    group_size * partial_size, shape->head_dim,
                                    scratch->wide + head * shape->head_dim);
        }
        decoder->kernels->quantize(scratch->wide, query_size(shape), &scratch->attended, token);
    }
}

/* Quantizes a range of silu(gate) * up; its groups are whole (see `describe` in weights.c). */
static void quantize_inner(const struct step *step, int64_t first, int64_t width) {
    struct decoder *decoder = step->decoder;
    struct activations range = decoder->inner;
    range.values += first;
    range.scales += first / GROUP;
    range.sums += first / GROUP;
    range.int8_starts += first / GROUP;
    range.int4_starts += first / GROUP;
    for (int token = 0; token < step->num_tokens; token++)
        decoder->kernels->quantize(decoder->gates + (int64_t)token * decoder->shape.intermediate_size + first, width,
                                   &range, token);
}

static void activate(const struct step *step, int number, const struct activations *inputs, struct part part) {
    const struct matrix *gate = &step->decoder->matrices[number + GATE], *up = &step->decoder->matrices[number + UP];
    const struct range share = share_of(step, gate, part.share), units = part_of(share, part);
    for (int64_t unit = units.first; unit < units.last; unit++) {
        const int64_t place = (unit - share.first) * gate->unit_bytes;
        multiply_unit(step, number + GATE, gate->shares[part.share] + place, unit, inputs, step->num_tokens,
                      finish_gate);
        multiply_unit(step, number + UP, up->shares[part.share] + place, unit, inputs, step->num_tokens, finish_up);
    }
    quantize_inner(step, units.first * GROUP, (units.last - units.first) * GROUP);
}

static void run_layer(const struct step *step, int phase, struct part part, struct scratch *scratch) {
    static finish *const projections[] = {finish_query, finish_key, finish_value};
    static finish *const residual[] = {finish_residual};
    const struct decoder *decoder = step->decoder;
    const int layer = phase / LAYER_PHASES, number = layer * LAYER_MATRICES, count = step->num_tokens;
    switch ((enum phase_kind)(phase % LAYER_PHASES)) {
    case PROJECT:
        if (enters(step, phase, scratch)) quantize_normalized(step, vector_of(decoder, layer, ATTENTION_NORM), scratch);
        multiply(step, number + QUERY, 3, projections, &scratch->normalized, count, part);
        break;
    case ATTEND: attend(step, layer, part); break;
    case ADD_ATTENTION:
        if (enters(step, phase, scratch)) quantize_attention(step, scratch);
        multiply(step, number + OUTPUT, 1, residual, &scratch->attended, count, part);
        break;
    case ACTIVATE:
        if (enters(step, phase, scratch)) quantize_normalized(step, vector_of(decoder, layer, MLP_NORM), scratch);
        activate(step, number, &scratch->normalized, part);
        break;
    default: multiply(step, number + DOWN, 1, residual, &decoder->inner, count, part);
    }
}

static void normalize_outputs(const struct step *step) {
    const struct decoder *decoder = step->decoder;
    const int64_t dim = decoder->shape.dim;
    for (int output = 0; output < step->num_outputs; output++)
        decoder->kernels->normalize(decoder->hidden + step->outputs[output] * dim,
                                    vector_of(decoder, decoder->shape.num_layers, ATTENTION_NORM),
                                    decoder->shape.epsilon, dim, step->last_hidden + output * dim);
}

static void run_head(const struct step *step, int phase, struct part part, struct scratch *scratch) {
    static finish *const logits[] = {finish_logits};
    const struct decoder *decoder = step->decoder;
    if (step->logits == NULL) return;
    const int num_inputs = enters(step, phase, scratch) ? step->num_outputs : 0;
    for (int output = 0; output < num_inputs; output++)
        decoder->kernels->quantize(step->last_hidden + (int64_t)output * decoder->shape.dim, decoder->shape.dim,
                                   &scratch->normalized, output);
    multiply(step, decoder->shape.num_layers * LAYER_MATRICES, 1, logits, &scratch->normalized, step->num_outputs,
             part);
}

/* How many parts a share is cut into, given the `size` of all shares and what is enough for a part. */
static int num_parts(const struct step *step, int64_t size, int64_t part_size) {
    const int64_t parts = size / (part_size * step->decoder->shape.num_threads) + 1;
    return (int)(parts < MAX_PARTS ? parts : MAX_PARTS);
}

static int num_matrix_parts(const struct step *step, int number, int num_matrices) {
    int64_t num_bytes = 0;
    for (int index = 0; index < num_matrices; index++) num_bytes += step->decoder->matrices[number + index].num_bytes;
    return num_parts(step, num_bytes, PART_BYTES);
}

static int num_layer_parts(const struct step *step, int phase) {
    const int number = phase / LAYER_PHASES * LAYER_MATRICES;
    switch ((enum phase_kind)(phase % LAYER_PHASES)) {
    case PROJECT: return num_matrix_parts(step, number + QUERY, 3);
    case ATTEND: return num_parts(step, num_attention_units(step), PART_UNITS);
    case ADD_ATTENTION: return num_matrix_parts(step, number + OUTPUT, 1);
    case ACTIVATE: return num_matrix_parts(step, number + GATE, 2);
    default: return num_matrix_parts(step, number + DOWN, 1);
    }
}

static int num_step_parts(void *argument, int phase) {
    const struct step *step = argument;
    const int after_layers = phase - step->decoder->shape.num_layers * LAYER_PHASES;
    if (after_layers < 0) return num_layer_parts(step, phase);
    return after_layers == 0 ? 1 : num_matrix_parts(step, step->decoder->shape.num_layers * LAYER_MATRICES, 1);
}

static void run_step(void *argument, int phase, struct part part, int thread) {
    const struct step *step = argument;
    const int after_layers = phase - step->decoder->shape.num_layers * LAYER_PHASES;
    if (after_layers < 0)
        run_layer(step, phase, part, &step->decoder->scratch[thread]);
    else if (after_layers > 0)
        run_head(step, phase, part, &step->decoder->scratch[thread]);
    else if (part.share == 0)
        normalize_outputs(step);
}

static int num_logits_parts(void *argument, int phase) {
    (void)phase;
    const struct step *step = argument;
    return num_matrix_parts(step, step->decoder->shape.num_layers * LAYER_MATRICES, 1);
}

static void run_logits(void *argument, int phase, struct part part, int thread) {
    const struct step *step = argument;
    run_head(step, phase, part, &step->decoder->scratch[thread]);
}

static void run(struct step *step, struct job job) {
    struct decoder *decoder = step->decoder;
    step->first_phase = decoder->num_phases + 1; /* zero is nobody's */
    decoder->num_phases += (uint64_t)job.num_phases;
    job.argument = step;
    threads_run(decoder->threads, &job);
}

static bool reserve_partials(struct step *step) {
    struct decoder *decoder = step->decoder;
    const struct shape *shape = &decoder->shape;
    int64_t size = 0;
    for (int token = 0; token < step->num_tokens; token++) {
        step->partial_offsets[token] = size;
        size += num_chunks(step, token) * shape->num_heads * (shape->head_dim + PARTIAL_EXTRA);
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
    const int num_phases = decoder->shape.num_layers * LAYER_PHASES + (step->num_outputs > 0 ? LAST_PHASES : 0);
    run(step, (struct job){.num_phases = num_phases, .num_parts = num_step_parts, .run = run_step});
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
        run(&step, (struct job){.num_phases = 1, .num_parts = num_logits_parts, .run = run_logits});
    }
    threads_release(decoder->threads);
    return 0;
}
