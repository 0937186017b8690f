/* Rows that are brought to mean 0 and variance 1. */
#ifndef FARM_FLOAT_NORM_H
#define FARM_FLOAT_NORM_H

#include "float_reduce.h"

/* mean, inverse: whether the mean and 1 / the standard deviation of every row are wanted. */
typedef struct {
    int32_t rows, length;
    float factor; /* 1 / length */
    float epsilon;
    int32_t mean, inverse;
} FloatNormShape;

/* The sum of squares, in the order of reduce_row. */
FARM_INLINE float squares_of_row(const float *x, int32_t length) {
    float partial[PARTIAL_RESULTS];
    int32_t whole = length - length % PARTIAL_RESULTS;
    for (int32_t j = 0; j < PARTIAL_RESULTS; j++) {
        partial[j] = 0.0f;
    }
    for (int32_t i = 0; i < whole; i += PARTIAL_RESULTS) {
        for (int32_t j = 0; j < PARTIAL_RESULTS; j++) {
            partial[j] = partial[j] + x[i + j] * x[i + j];
        }
    }
    for (int32_t j = 0; j < length - whole; j++) {
        partial[j] = partial[j] + x[whole + j] * x[whole + j];
    }
    for (int32_t half = PARTIAL_RESULTS / 2; half > 0; half /= 2) {
        for (int32_t j = 0; j < half; j++) {
            partial[j] = partial[j] + partial[j + half];
        }
    }
    return partial[0];
}

/* y = (x - mean) / sqrt(variance + epsilon) * scale + bias, row by row; x and y may be the same. */
FARM_INLINE void float_layer_norm(const float *x, const float *scale, const float *bias, float *y,
                                  float *means, float *inverses, FloatNormShape s) {
    for (int32_t row = 0; row < s.rows; row++, x += s.length, y += s.length) {
        const float mean = reduce_row(x, s.length, REDUCE_SUM) * s.factor;
        EACH_ALONE
        for (int32_t i = 0; i < s.length; i++) {
            y[i] = x[i] - mean;
        }
        const float variance = squares_of_row(y, s.length) * s.factor;
        const float inverse = 1.0f / float_sqrt(variance + s.epsilon);
        EACH_ALONE
        for (int32_t i = 0; i < s.length; i++) {
            y[i] = y[i] * inverse * scale[i] + bias[i];
        }
        if (s.mean) {
            means[row] = without_sign_of_zero(mean);
        }
        if (s.inverse) {
            inverses[row] = inverse;
        }
    }
}

#endif
