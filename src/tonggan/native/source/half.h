/* Half precision to and from float on any processor; the vector kernels have instructions of their own. */
#ifndef TONGGAN_HALF_H
#define TONGGAN_HALF_H

#include <stdint.h>
#include <string.h>

static inline float half_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    const uint32_t magnitude = half & 0x7fff;
    uint32_t bits = magnitude << 13;
    float result;
    if (magnitude >= 0x7c00) {
        bits |= 0x7f800000; /* infinity, or not a number */
        memcpy(&result, &bits, sizeof result);
    } else {
        /* Half's exponent is read as float's, 112 too small; the product sets it right, subnormals too. */
        memcpy(&result, &bits, sizeof result);
        result *= 0x1p112f;
        memcpy(&bits, &result, sizeof bits);
    }
    bits |= sign;
    memcpy(&result, &bits, sizeof result);
    return result;
}

/* Rounds to nearest, ties to even. */
static inline uint16_t float_to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return sign | 0x7e00; /* not a number */
    if (bits >= 0x477ff000) return sign | 0x7c00; /* rounds to infinity */
    if (bits < 0x38800000) {
        /* Subnormal: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits. */
        float shifted;
        memcpy(&shifted, &bits, sizeof shifted);
        shifted += 0.5f;
        memcpy(&bits, &shifted, sizeof bits);
        return sign | (uint16_t)(bits - 0x3f000000);
    }
    bits += 0xfff + (bits >> 13 & 1);
    return sign | (uint16_t)((bits - 0x38000000) >> 13);
}

#endif
