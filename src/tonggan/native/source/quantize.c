/* Floats to GGUF's blocks: 8 bits plainly, 4 bits with the scale and minimum of least squared error, each weight's error
 * counted by the importance of its column. */
#include <math.h>
#include <string.h>

#include "decoder.h"
#include "half.h"

enum {
    WIDTH = 4,       /* of vectors: any processor's */
    NUM_TRIALS = 16, /* scales tried for a group of 4 bits */
};

typedef float floats __attribute__((vector_size(4 * WIDTH)));
typedef int32_t integers __attribute__((vector_size(4 * WIDTH)));

struct group {
    floats values[GROUP / WIDTH];
    floats importance[GROUP / WIDTH];
};

struct fit {
    uint16_t scale; /* half precision, as it is stored */
    uint16_t minimum;
    float error;
};

static inline float total(floats value) { return (value[0] + value[2]) + (value[1] + value[3]); }

/* The nearest of the levels 0 to 15; adding 1.5 * 2^23 rounds. */
static inline floats levels_of(floats values, float inverse, float minimum) {
    const floats zero = {0}, most = zero + 15.0f;
    floats levels = (values - minimum) * inverse;
    levels = (floats)((integers)levels & (levels > zero));
    const integers above = levels > most;
    levels = (floats)((above & (integers)most) | (~above & (integers)levels));
    return levels + 12582912.0f - 12582912.0f;
}

static float inverse_of(float scale) { return scale == 0.0f ? 0.0f : 1.0f / scale; }

/* Keeps the fit if it is the best so far; a symmetric one's minimum is -8 scale, and not stored. */
static void consider(const struct group *group, float scale, float minimum, int symmetric, struct fit *best) {
    struct fit fit = {.scale = float_to_half(scale), .minimum = float_to_half(minimum)};
    scale = half_to_float(fit.scale);
    minimum = symmetric ? -8.0f * scale : half_to_float(fit.minimum);
    floats error = {0};
    for (int part = 0; part < GROUP / WIDTH; part++) {
        const floats levels = levels_of(group->values[part], inverse_of(scale), minimum);
        const floats difference = levels * scale + minimum - group->values[part];
        error += difference * difference * group->importance[part];
    }
    fit.error = total(error);
    if (fit.error < best->error) *best = fit;
}

/* The levels that a scale gives, and then the line through them. */
static void refit(const struct group *group, float scale, float minimum, int symmetric, struct fit *best) {
    floats weight = {0}, level = {0}, squares = {0}, value = {0}, products = {0};
    for (int part = 0; part < GROUP / WIDTH; part++) {
        const floats importance = group->importance[part];
        floats levels = levels_of(group->values[part], inverse_of(scale), minimum);
        if (symmetric) levels -= 8.0f;
        weight += importance;
        level += importance * levels;
        squares += importance * levels * levels;
        value += importance * group->values[part];
        products += importance * levels * group->values[part];
    }
    if (symmetric) {
        if (total(squares) > 0.0f) consider(group, total(products) / total(squares), 0.0f, 1, best);
        return;
    }
    const float spread = total(weight) * total(squares) - total(level) * total(level);
    if (!(spread > 0.0f)) return;
    const float slope = (total(weight) * total(products) - total(level) * total(value)) / spread;
    consider(group, slope, (total(value) - slope * total(level)) / total(weight), 0, best);
}

static struct fit fit_group(const struct group *group, int symmetric) {
    float low = INFINITY, high = -INFINITY;
    for (int place = 0; place < GROUP; place++) {
        const float value = group->values[place / WIDTH][place % WIDTH];
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    struct fit best = {.error = INFINITY};
    if (symmetric) {
        const float peak = -low > high ? low : high; /* gets level 0, the farther from the middle */
        consider(group, peak / -8.0f, 0.0f, 1, &best);
        for (int trial = 0; trial < NUM_TRIALS && peak != 0.0f; trial++) {
            const float scale = peak / -(8.0f + 0.15f * (float)(trial - NUM_TRIALS / 2));
            refit(group, scale, -8.0f * scale, 1, &best);
        }
    } else {
        consider(group, (high - low) / 15.0f, low, 0, &best);
        for (int trial = 0; trial < NUM_TRIALS && high > low; trial++) {
            const float scale = (high - low) / (15.0f + 0.3f * (float)(trial - NUM_TRIALS / 4));
            refit(group, scale, (low + high) / 2.0f - 7.5f * scale, 0, &best);
        }
    }
    return best;
}

static void quantize_int4(const float *values, const float *importance, int symmetric, uint8_t *block) {
    struct group group;
    memcpy(group.values, values, sizeof group.values);
    memcpy(group.importance, importance, sizeof group.importance);
    const struct fit fit = fit_group(&group, symmetric);
    const float scale = half_to_float(fit.scale);
    const float minimum = symmetric ? -8.0f * scale : half_to_float(fit.minimum);
    memcpy(block, &fit.scale, 2);
    if (!symmetric) memcpy(block + 2, &fit.minimum, 2);
    uint8_t levels[GROUP];
    for (int place = 0; place < GROUP; place++)
        levels[place] = (uint8_t)levels_of(group.values[place / WIDTH], inverse_of(scale), minimum)[place % WIDTH];
    for (int place = 0; place < GROUP / 2; place++)
        block[(symmetric ? 2 : 4) + place] = levels[place] | (uint8_t)(levels[place + GROUP / 2] << 4);
}

static void quantize_int8(const float *values, uint8_t *block) {
    float peak = 0.0f;
    for (int place = 0; place < GROUP; place++) peak = fmaxf(peak, fabsf(values[place]));
    const uint16_t scale = float_to_half(peak / 127.0f);
    const float inverse = inverse_of(half_to_float(scale));
    memcpy(block, &scale, 2);
    for (int place = 0; place < GROUP; place++) {
        const float level = roundf(values[place] * inverse);
        block[2 + place] = (uint8_t)(int8_t)fminf(127.0f, fmaxf(-127.0f, level));
    }
}

void tonggan_quantize(int format, const float *values, const float *importance, int64_t num_rows, int64_t num_columns,
                      uint8_t *blocks) {
    for (int64_t row = 0; row < num_rows; row++)
        for (int64_t column = 0; column < num_columns; column += GROUP, values += GROUP) {
            if (format == FORMAT_INT8)
                quantize_int8(values, blocks);
            else
                quantize_int4(values, importance + column, format == FORMAT_INT4, blocks);
            blocks += gguf_block_bytes((enum format)format);
        }
}
