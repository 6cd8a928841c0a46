/* Floats to GGUF's blocks, with the scale and minimum of least squared error. */
#include <math.h>
#include <string.h>

#include "decoder.h"
#include "half.h"

enum { NUM_TRIALS = 16 }; /* ranges tried for a group of 4-bit weights, each a bit narrower than the last */

static void quantize_int8(const float *values, uint8_t *block) {
    float peak = 0.0f;
    for (int place = 0; place < GROUP; place++) peak = fmaxf(peak, fabsf(values[place]));
    const uint16_t scale = float_to_half(peak / 127.0f);
    const float inverse = scale == 0 ? 0.0f : 1.0f / half_to_float(scale);
    memcpy(block, &scale, 2);
    for (int place = 0; place < GROUP; place++) {
        const float level = roundf(values[place] * inverse);
        block[2 + place] = (uint8_t)(int8_t)fminf(127.0f, fmaxf(-127.0f, level));
    }
}

/* Nearest of the levels 0 to 15; adding 1.5 * 2^23 rounds. */
static inline float level_of(float value, float inverse, float minimum) {
    float level = (value - minimum) * inverse;
    level = level > 0.0f ? level : 0.0f;
    level = level < 15.0f ? level : 15.0f;
    return level + 12582912.0f - 12582912.0f;
}

static float inverse_of(float scale) { return scale == 0.0f ? 0.0f : 1.0f / scale; }

static float squared_error(const float *values, float scale, float minimum) {
    const float inverse = inverse_of(scale);
    float error = 0.0f;
    for (int place = 0; place < GROUP; place++) {
        const float difference = scale * level_of(values[place], inverse, minimum) + minimum - values[place];
        error += difference * difference;
    }
    return error;
}

/* Keeps the better of (scale, minimum) and what was best, both as they are stored: in half precision. With
 * `symmetric`, the minimum is -8 scale. */
static void consider(const float *values, float scale, float minimum, int symmetric, uint16_t *best, float *error) {
    const uint16_t half_scale = float_to_half(scale), half_minimum = float_to_half(minimum);
    scale = half_to_float(half_scale);
    minimum = symmetric ? -8.0f * scale : half_to_float(half_minimum);
    const float now = squared_error(values, scale, minimum);
    if (!(now < *error)) return;
    *error = now;
    best[0] = half_scale;
    best[1] = half_minimum;
}

static void search_minimum(const float *values, uint16_t *best) {
    float low = values[0], high = values[0], error = INFINITY;
    for (int place = 1; place < GROUP; place++) {
        low = fminf(low, values[place]);
        high = fmaxf(high, values[place]);
    }
    consider(values, (high - low) / 15.0f, low, 0, best, &error);
    for (int trial = 0; trial < NUM_TRIALS && high > low; trial++) {
        /* The levels that a narrower range gives, and then the line through them. */
        const float scale = (high - low) / (15.0f + 0.3f * (float)(trial - NUM_TRIALS / 4));
        const float minimum = (low + high) / 2.0f - 7.5f * scale;
        float sum = 0.0f, squares = 0.0f, values_sum = 0.0f, products = 0.0f;
        for (int place = 0; place < GROUP; place++) {
            const float level = level_of(values[place], inverse_of(scale), minimum);
            sum += level;
            squares += level * level;
            values_sum += values[place];
            products += level * values[place];
        }
        const float spread = GROUP * squares - sum * sum;
        if (spread <= 0.0f) continue;
        const float slope = (GROUP * products - sum * values_sum) / spread;
        consider(values, slope, (values_sum - slope * sum) / GROUP, 0, best, &error);
    }
}

static void search_symmetric(const float *values, uint16_t *best) {
    float peak = 0.0f, error = INFINITY;
    for (int place = 0; place < GROUP; place++)
        peak = fabsf(values[place]) > fabsf(peak) ? values[place] : peak;
    consider(values, peak / -8.0f, 0.0f, 1, best, &error);
    for (int trial = 0; trial < NUM_TRIALS && peak != 0.0f; trial++) {
        const float scale = peak / -(8.0f + 0.15f * (float)(trial - NUM_TRIALS / 2));
        float squares = 0.0f, products = 0.0f;
        for (int place = 0; place < GROUP; place++) {
            const float level = level_of(values[place], inverse_of(scale), -8.0f * scale) - 8.0f;
            squares += level * level;
            products += level * values[place];
        }
        if (squares > 0.0f) consider(values, products / squares, 0.0f, 1, best, &error);
    }
}

static void quantize_int4(const float *values, int symmetric, uint8_t *block) {
    uint16_t best[2] = {0, 0};
    if (symmetric)
        search_symmetric(values, best);
    else
        search_minimum(values, best);
    const float scale = half_to_float(best[0]);
    const float minimum = symmetric ? -8.0f * scale : half_to_float(best[1]);
    const float inverse = inverse_of(scale);
    const int header = symmetric ? 2 : 4;
    memcpy(block, best, (size_t)header);
    for (int place = 0; place < GROUP / 2; place++) {
        const uint8_t low = (uint8_t)level_of(values[place], inverse, minimum);
        const uint8_t high = (uint8_t)level_of(values[place + GROUP / 2], inverse, minimum);
        block[header + place] = low | (uint8_t)(high << 4);
    }
}

void tonggan_quantize(int format, const float *values, int64_t num_rows, int64_t num_columns, uint8_t *blocks) {
    for (int64_t group = 0; group < num_rows * num_columns / GROUP; group++, values += GROUP) {
        if (format == FORMAT_INT8) {
            quantize_int8(values, blocks);
            blocks += 2 + GROUP;
        } else {
            quantize_int4(values, format == FORMAT_INT4, blocks);
            blocks += (format == FORMAT_INT4 ? 2 : 4) + GROUP / 2;
        }
    }
}
