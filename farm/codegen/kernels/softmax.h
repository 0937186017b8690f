/* Softmax of u8: exponentials are a table of the difference to the largest element. */
#ifndef FARM_SOFTMAX_H
#define FARM_SOFTMAX_H

#include "float_math.h"
#include "integer.h"

/* Tensors are [outer][size][inner]; sums are over `size`, which is below 65536. For a result of
 * u8: y = zero_point + share * factor / 2^shift, share being of 65536. */
typedef struct {
    int32_t outer, size, inner;
    int32_t factor, shift, zero_point;
} SoftmaxShape;

FARM_INLINE int32_t softmax_largest(const uint8_t *x, SoftmaxShape s) {
    int32_t largest = 0;
    for (int32_t i = 0; i < s.size; i++) {
        largest = int_max(largest, x[i * s.inner]);
    }
    return largest;
}

/* Between 2^15, which is the largest element's own share, and 2^31. */
FARM_INLINE int32_t softmax_total(const uint8_t *x, const uint32_t *table, SoftmaxShape s) {
    int32_t total = 0;
    for (int32_t i = 0; i < s.size; i++) {
        total += (int32_t)table[-x[i * s.inner]];
    }
    return total;
}

/* 1 / x for x from 2^15 to 2^31: a first guess by its bits, then three steps of Newton's, each of
 * which doubles the number of correct bits. */
FARM_INLINE float softmax_reciprocal(float x) {
    float guess = from_bits(0x7ef311c7u - bits_of(x));
    for (int32_t step = 0; step < 3; step++) {
        guess = guess * (2.0f - x * guess);
    }
    return guess;
}

/* table[d]: 2^15 * exp(-d * scale). */
FARM_INLINE void softmax_float(const uint8_t *x, const uint32_t *table, float *y, SoftmaxShape s) {
    for (int32_t i = 0; i < s.outer; i++) {
        for (int32_t j = 0; j < s.inner; j++) {
            const uint32_t *from_largest = table + softmax_largest(x + j, s);
            const int32_t total = softmax_total(x + j, from_largest, s);
            const float inverse = softmax_reciprocal((float)total);
            for (int32_t k = 0; k < s.size * s.inner; k += s.inner) {
                y[j + k] = (float)(int32_t)from_largest[-x[j + k]] * inverse;
            }
        }
        x += s.size * s.inner;
        y += s.size * s.inner;
    }
}

/* 2^46 / total, rounded down, one bit after the other. */
FARM_INLINE uint32_t softmax_inverse(uint32_t total) {
    uint32_t quotient = 0, rest = 1u << 14;
    for (int32_t bit = 0; bit < 32; bit++) {
        const uint32_t fits = 2 * rest >= total;
        rest = 2 * rest - (fits ? total : 0);
        quotient = 2 * quotient + fits;
    }
    return quotient;
}

/* The same with a result of u8; x and y may be the same. */
FARM_INLINE void softmax_integer(const uint8_t *x, const uint32_t *table, uint8_t *y,
                                 SoftmaxShape s) {
    const uint32_t factor = (uint32_t)s.factor, half = 1u << s.shift >> 1;
    for (int32_t i = 0; i < s.outer; i++) {
        for (int32_t j = 0; j < s.inner; j++) {
            const uint32_t *from_largest = table + softmax_largest(x + j, s);
            const int32_t total = softmax_total(x + j, from_largest, s);
            const uint32_t inverse = softmax_inverse((uint32_t)total);
            for (int32_t k = 0; k < s.size * s.inner; k += s.inner) {
                const uint64_t product = (uint64_t)from_largest[-x[j + k]] * inverse;
                const uint32_t share = (uint32_t)(product >> 30);
                const int32_t units = (int32_t)((share * factor + half) >> s.shift);
                y[j + k] = (uint8_t)integer_clamp(units + s.zero_point, 0, 255);
            }
        }
        x += s.size * s.inner;
        y += s.size * s.inner;
    }
}

#endif
