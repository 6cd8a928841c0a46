/* Vector primitives for AVX-512 with VNNI: Intel since Ice Lake, AMD since Zen 4. */
#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")
#endif

#include <immintrin.h>
#include <string.h>

#include "kernels.h"

#define LANES 16
#define SIGNED_OFFSET 128
#define NUM_REGISTERS 32
#define KERNELS avx512_kernels
#define KERNELS_NAME "avx512"

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t integers __attribute__((vector_size(4 * LANES)));
typedef __m512i bytes;

static inline bytes load_bytes(const uint8_t *source) { return _mm512_loadu_si512(source); }

static inline bytes low_nibbles(bytes value) { return _mm512_and_si512(value, _mm512_set1_epi8(15)); }

static inline bytes high_nibbles(bytes value) {
    return _mm512_and_si512(_mm512_srli_epi16(value, 4), _mm512_set1_epi8(15));
}

static inline integers dot_unsigned(integers sums, bytes weights, int32_t values) {
    return (integers)_mm512_dpbusd_epi32((__m512i)sums, weights, _mm512_set1_epi32(values));
}

/* The instruction wants the weights unsigned: flipping the top bit adds SIGNED_OFFSET to each. */
static inline integers dot_signed(integers sums, bytes weights, int32_t values) {
    return dot_unsigned(sums, _mm512_xor_si512(weights, _mm512_set1_epi8(-128)), values);
}

static inline floats load_halves(const uint16_t *source) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)source));
}

static inline void store_halves(uint16_t *target, floats value) {
    _mm256_storeu_si256((__m256i *)target, _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
}

static inline float sum_lanes(floats value) { return _mm512_reduce_add_ps(value); }

#include "kernels_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int nothing_on_other_processors; /* C forbids an empty file */
#endif
