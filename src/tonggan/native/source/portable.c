/* Vector primitives in plain C, for any processor and as the reference of the others. */
#include "half.h"
#include "kernels.h"

#define LANES 4
#define SIGNED_OFFSET 0
#define NUM_REGISTERS 16
#define KERNELS portable_kernels
#define KERNELS_NAME "portable"

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t integers __attribute__((vector_size(4 * LANES)));
typedef uint8_t bytes __attribute__((vector_size(4 * LANES)));

static inline bytes load_bytes(const uint8_t *source) {
    bytes result;
    memcpy(&result, source, sizeof result);
    return result;
}

static inline bytes low_nibbles(bytes value) { return value & 15; }

static inline bytes high_nibbles(bytes value) { return value >> 4; }

static inline integers dot_signed(integers sums, bytes weights, int32_t values) {
    int8_t four[4], all[4 * LANES];
    memcpy(four, &values, sizeof four);
    memcpy(all, &weights, sizeof all);
    for (int lane = 0; lane < LANES; lane++)
        for (int place = 0; place < 4; place++) sums[lane] += all[4 * lane + place] * four[place];
    return sums;
}

/* Nibbles are below 128, where signed and unsigned bytes agree. */
static inline integers dot_unsigned(integers sums, bytes weights, int32_t values) {
    return dot_signed(sums, weights, values);
}

static inline floats load_halves(const uint16_t *source) {
    return (floats){half_to_float(source[0]), half_to_float(source[1]), half_to_float(source[2]),
                    half_to_float(source[3])};
}

static inline void store_halves(uint16_t *target, floats value) {
    for (int lane = 0; lane < LANES; lane++) target[lane] = float_to_half(value[lane]);
}

static inline float sum_lanes(floats value) { return (value[0] + value[2]) + (value[1] + value[3]); }

#include "kernels_body.h"
