/* Vector primitives for AVX2 with FMA and F16C: most x86 processors since 2013. */
#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#include <immintrin.h>
#include <string.h>

#include "kernels.h"

#define LANES 8
#define SIGNED_OFFSET 0
#define NUM_REGISTERS 16
#define KERNELS avx2_kernels
#define KERNELS_NAME "avx2"

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t integers __attribute__((vector_size(4 * LANES)));
typedef __m256i bytes;

static inline bytes load_bytes(const uint8_t *source) { return _mm256_loadu_si256((const __m256i *)source); }

static inline bytes low_nibbles(bytes value) { return _mm256_and_si256(value, _mm256_set1_epi8(15)); }

static inline bytes high_nibbles(bytes value) {
    return _mm256_and_si256(_mm256_srli_epi16(value, 4), _mm256_set1_epi8(15));
}

/* Products of neighbors are added in 16 bits: at most 2 * 128 * 127, which fits. */
static inline integers dot_unsigned(integers sums, bytes weights, int32_t values) {
    const __m256i pairs = _mm256_maddubs_epi16(weights, _mm256_set1_epi32(values));
    return (integers)_mm256_add_epi32((__m256i)sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* The instruction wants one side unsigned: the weights' signs move to the activations. */
static inline integers dot_signed(integers sums, bytes weights, int32_t values) {
    const __m256i moved = _mm256_sign_epi8(_mm256_set1_epi32(values), weights);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), moved);
    return (integers)_mm256_add_epi32((__m256i)sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

static inline floats load_halves(const uint16_t *source) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)source));
}

static inline void store_halves(uint16_t *target, floats value) {
    _mm_storeu_si128((__m128i *)target, _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
}

static inline float sum_lanes(floats value) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps(value, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

#include "kernels_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int nothing_on_other_processors; /* C forbids an empty file */
#endif
