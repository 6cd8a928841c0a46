/* The kernels, written once over the vector primitives of the file that includes this one:
 *
 *   LANES, floats, integers          vectors of LANES floats or 32-bit integers
 *   bytes                            LANES rows of 4 weights each
 *   load_bytes, low_nibbles, high_nibbles
 *   dot_signed, dot_unsigned         add to each lane the product of its 4 weights with 4 activations
 *   SIGNED_OFFSET                    what dot_signed adds to each weight
 *   NUM_REGISTERS                    vectors that the processor holds
 *   load_halves, store_halves, sum_lanes
 *   KERNELS, KERNELS_NAME            the table to define
 *
 * Additions run in one fixed order per token, so that a result depends neither on the number of tokens computed
 * together nor on the number of threads.
 */
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum {
    PARTS = TILE_ROWS / LANES,
    COLUMNS = NUM_REGISTERS / 4, /* tokens whose sums stay in registers */
    QUERIES = 4,                 /* likewise of attention */
    PREFETCH_BYTES = 4096,       /* a thread's weights lie in the order in which it reads them, across layers too */
};

INLINE floats splat(float value) { return (floats){0} + value; }

INLINE floats load(const float *source) {
    floats result;
    memcpy(&result, source, sizeof result);
    return result;
}

INLINE void store(float *target, floats value) { memcpy(target, &value, sizeof value); }

INLINE floats choose(integers condition, floats yes, floats no) {
    return (floats)((condition & (integers)yes) | (~condition & (integers)no));
}

INLINE floats maximum(floats a, floats b) { return choose(a > b, a, b); }

/* Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the sum. */
static const float ROUNDING = 12582912.0f;

INLINE integers nearest(floats value) { return (integers)(value + ROUNDING) - (integers)splat(ROUNDING); }

/* Cephes' polynomial on [-ln 2 / 2, ln 2 / 2], relative error 2e-7; zero where the result would be below 2^-126. */
INLINE floats exponential(floats x) {
    const integers vanishes = x < -87.3f;
    x = maximum(x, splat(-87.3f));
    x = -maximum(-x, splat(-88.3f));
    const integers exponent = nearest(x * 1.44269504f);
    const floats whole = __builtin_convertvector(exponent, floats);
    x -= whole * 0.693359375f;
    x -= whole * -2.12194440e-4f;
    floats result = splat(1.9875691500e-4f);
    result = result * x + 1.3981999507e-3f;
    result = result * x + 8.3334519073e-3f;
    result = result * x + 4.1665795894e-2f;
    result = result * x + 1.6666665459e-1f;
    result = result * x + 5.0000001201e-1f;
    result = result * x * x + x + 1.0f;
    return choose(vanishes, splat(0.0f), result * (floats)((exponent + 127) << 23));
}

INLINE int32_t four_values(const struct activations *inputs, int token, int64_t place) {
    int32_t result;
    memcpy(&result, inputs->values + token * inputs->width + place, sizeof result);
    return result;
}

/* `count` tokens from `first` on; format and count are constants wherever this is inlined. */
INLINE void multiply_tokens(enum format format, const uint8_t *tile, const struct activations *inputs, int first,
                            int count, float *output) {
    const int64_t num_groups = inputs->width / GROUP;
    const int chunks = format == FORMAT_INT8 ? GROUP / 4 : GROUP / 8;
    const int32_t *starts = format == FORMAT_INT8 ? inputs->int8_starts : inputs->int4_starts;
    floats totals[COLUMNS][PARTS];
    for (int token = 0; token < count; token++)
        for (int part = 0; part < PARTS; part++) totals[token][part] = splat(0.0f);
    for (int64_t group = 0; group < num_groups; group++) {
        const int odd = group & 1;
        const uint16_t *scales = (const uint16_t *)tile + odd * TILE_ROWS;
        const uint16_t *minimums = scales + BLOCK / GROUP * TILE_ROWS;
        const uint8_t *quants = tile + header_bytes(format) + odd * quant_bytes(format) / 2;
        for (int64_t line = odd * 64; line < block_bytes(format); line += 128)
            __builtin_prefetch(tile + PREFETCH_BYTES + line, 0, 2);
        for (int part = 0; part < PARTS; part++) {
            integers sums[COLUMNS];
            for (int token = 0; token < count; token++) {
                sums[token] = (integers){0};
                if (format != FORMAT_INT4_MINIMUM) sums[token] += starts[(first + token) * num_groups + group];
            }
            for (int chunk = 0; chunk < chunks; chunk++) {
                const bytes weights = load_bytes(quants + (chunk * TILE_ROWS + part * LANES) * 4);
                for (int token = 0; token < count; token++) {
                    const int64_t place = group * GROUP + chunk * 4;
                    const int32_t values = four_values(inputs, first + token, place);
                    if (format == FORMAT_INT8) {
                        sums[token] = dot_signed(sums[token], weights, values);
                    } else {
                        const int32_t later = four_values(inputs, first + token, place + GROUP / 2);
                        sums[token] = dot_unsigned(sums[token], low_nibbles(weights), values);
                        sums[token] = dot_unsigned(sums[token], high_nibbles(weights), later);
                    }
                }
            }
            const floats scale = load_halves(scales + part * LANES);
            for (int token = 0; token < count; token++) {
                const int64_t place = (first + token) * num_groups + group;
                totals[token][part] += __builtin_convertvector(sums[token], floats) * (scale * inputs->scales[place]);
                if (format == FORMAT_INT4_MINIMUM)
                    totals[token][part] += load_halves(minimums + part * LANES) * inputs->sums[place];
            }
        }
        tile += odd ? block_bytes(format) : 0;
    }
    for (int token = 0; token < count; token++)
        for (int part = 0; part < PARTS; part++)
            store(output + (first + token) * TILE_ROWS + part * LANES, totals[token][part]);
}

INLINE void multiply(enum format format, const uint8_t *tile, const struct activations *inputs, int num_tokens,
                     float *output) {
    int token = 0;
    for (; token + COLUMNS <= num_tokens; token += COLUMNS)
        multiply_tokens(format, tile, inputs, token, COLUMNS, output);
    if (num_tokens - token >= 4) {
        multiply_tokens(format, tile, inputs, token, 4, output);
        token += 4;
    }
    switch (num_tokens - token) {
    case 1: multiply_tokens(format, tile, inputs, token, 1, output); break;
    case 2: multiply_tokens(format, tile, inputs, token, 2, output); break;
    case 3: multiply_tokens(format, tile, inputs, token, 3, output); break;
    }
}

static void multiply_int8(const uint8_t *tile, const struct activations *inputs, int num_tokens, float *output) {
    multiply(FORMAT_INT8, tile, inputs, num_tokens, output);
}

static void multiply_int4(const uint8_t *tile, const struct activations *inputs, int num_tokens, float *output) {
    multiply(FORMAT_INT4, tile, inputs, num_tokens, output);
}

static void multiply_int4_minimum(const uint8_t *tile, const struct activations *inputs, int num_tokens,
                                  float *output) {
    multiply(FORMAT_INT4_MINIMUM, tile, inputs, num_tokens, output);
}

static void quantize(const float *values, int64_t width, struct activations *result, int token) {
    typedef int8_t narrow __attribute__((vector_size(LANES)));
    const int64_t num_groups = result->width / GROUP;
    for (int64_t group = 0; group < width / GROUP; group++) {
        floats parts[GROUP / LANES];
        floats largest = splat(0.0f);
        for (int part = 0; part < GROUP / LANES; part++) {
            parts[part] = load(values + group * GROUP + part * LANES);
            largest = maximum(largest, maximum(parts[part], -parts[part]));
        }
        float peak = 0.0f;
        for (int lane = 0; lane < LANES; lane++) peak = largest[lane] > peak ? largest[lane] : peak;
        const float inverse = peak > 0.0f ? 127.0f / peak : 0.0f;
        integers sum = {0};
        for (int part = 0; part < GROUP / LANES; part++) {
            const integers rounded = nearest(parts[part] * inverse);
            const narrow small = __builtin_convertvector(rounded, narrow);
            memcpy(result->values + token * result->width + group * GROUP + part * LANES, &small, sizeof small);
            sum += rounded;
        }
        int32_t total = 0;
        for (int lane = 0; lane < LANES; lane++) total += sum[lane];
        const int64_t place = token * num_groups + group;
        result->scales[place] = peak / 127.0f;
        result->sums[place] = peak / 127.0f * (float)total;
        result->int8_starts[place] = -SIGNED_OFFSET * total;
        result->int4_starts[place] = -8 * total;
    }
}

static void normalize(const float *values, const float *weight, float epsilon, int64_t width, float *result) {
    floats squares = {0};
    for (int64_t place = 0; place < width; place += LANES) {
        const floats value = load(values + place);
        squares += value * value;
    }
    const float factor = 1.0f / sqrtf(sum_lanes(squares) / (float)width + epsilon);
    for (int64_t place = 0; place < width; place += LANES)
        store(result + place, load(values + place) * factor * load(weight + place));
}

static void gate(const float *gates, const float *up, int64_t count, float *result) {
    for (int64_t place = 0; place < count; place += LANES) {
        const floats value = load(gates + place);
        store(result + place, value / (exponential(-value) + 1.0f) * load(up + place));
    }
}

static void to_half(const float *values, int64_t count, uint16_t *result) {
    for (int64_t place = 0; place < count; place += LANES) store_halves(result + place, load(values + place));
}

INLINE void attend_queries(const float *queries, int num_queries, const uint16_t *keys, const uint16_t *values,
                           int count, int head_dim, float *partials) {
    float weights[QUERIES][CHUNK];
    const int64_t stride = head_dim + PARTIAL_EXTRA;
    for (int position = 0; position < count; position++) {
        floats sums[QUERIES];
        for (int query = 0; query < num_queries; query++) sums[query] = splat(0.0f);
        for (int place = 0; place < head_dim; place += LANES) {
            const floats key = load_halves(keys + (int64_t)position * head_dim + place);
            for (int query = 0; query < num_queries; query++)
                sums[query] += key * load(queries + query * head_dim + place);
        }
        for (int query = 0; query < num_queries; query++) weights[query][position] = sum_lanes(sums[query]);
    }
    for (int query = 0; query < num_queries; query++) {
        float *scores = weights[query];
        for (int position = count; position % LANES != 0; position++) scores[position] = -INFINITY;
        floats highest = splat(-INFINITY);
        for (int position = 0; position < count; position += LANES)
            highest = maximum(highest, load(scores + position));
        float largest = highest[0];
        for (int lane = 1; lane < LANES; lane++) largest = highest[lane] > largest ? highest[lane] : largest;
        floats sum = {0};
        for (int position = 0; position < count; position += LANES) {
            const floats weight = exponential(load(scores + position) - largest);
            store(scores + position, weight);
            sum += weight;
        }
        partials[query * stride + head_dim] = largest;
        partials[query * stride + head_dim + 1] = sum_lanes(sum);
    }
    for (int place = 0; place < head_dim; place += LANES) {
        floats sums[QUERIES][2]; /* even and odd positions, so that one addition need not wait for the last */
        for (int query = 0; query < num_queries; query++) sums[query][0] = sums[query][1] = splat(0.0f);
        for (int position = 0; position < count; position++) {
            const floats value = load_halves(values + (int64_t)position * head_dim + place);
            for (int query = 0; query < num_queries; query++) sums[query][0] += value * weights[query][position];
            if (++position == count) break;
            const floats next = load_halves(values + (int64_t)position * head_dim + place);
            for (int query = 0; query < num_queries; query++) sums[query][1] += next * weights[query][position];
        }
        for (int query = 0; query < num_queries; query++)
            store(partials + query * stride + place, sums[query][0] + sums[query][1]);
    }
}

static void attend(const float *queries, int num_queries, const uint16_t *keys, const uint16_t *values, int count,
                   int head_dim, float *partials) {
    while (num_queries > 0) {
        const int now = num_queries < QUERIES ? num_queries : QUERIES;
        switch (now) {
        case 1: attend_queries(queries, 1, keys, values, count, head_dim, partials); break;
        case 2: attend_queries(queries, 2, keys, values, count, head_dim, partials); break;
        case 3: attend_queries(queries, 3, keys, values, count, head_dim, partials); break;
        default: attend_queries(queries, QUERIES, keys, values, count, head_dim, partials);
        }
        queries += now * head_dim;
        partials += now * (head_dim + PARTIAL_EXTRA);
        num_queries -= now;
    }
}

static void merge(const float *partials, int num_chunks, int64_t stride, int head_dim, float *result) {
    float largest = partials[head_dim];
    for (int chunk = 1; chunk < num_chunks; chunk++) {
        const float score = partials[chunk * stride + head_dim];
        largest = score > largest ? score : largest;
    }
    float sum = 0.0f;
    for (int place = 0; place < head_dim; place += LANES) store(result + place, splat(0.0f));
    for (int chunk = 0; chunk < num_chunks; chunk++) {
        const float *partial = partials + chunk * stride;
        const float factor = expf(partial[head_dim] - largest);
        sum += factor * partial[head_dim + 1];
        for (int place = 0; place < head_dim; place += LANES)
            store(result + place, load(result + place) + load(partial + place) * factor);
    }
    for (int place = 0; place < head_dim; place += LANES) store(result + place, load(result + place) / sum);
}

const struct kernels KERNELS = {
    .name = KERNELS_NAME,
    .multiply = {multiply_int8, multiply_int4, multiply_int4_minimum},
    .quantize = quantize,
    .normalize = normalize,
    .gate = gate,
    .to_half = to_half,
    .attend = attend,
    .merge = merge,
};
