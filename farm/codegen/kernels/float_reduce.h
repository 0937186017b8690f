/* Mean, largest element and softmax along one axis. Tensors are [outer][length][inner]. */
#ifndef FARM_FLOAT_REDUCE_H
#define FARM_FLOAT_REDUCE_H

#include "float_math.h"

enum { PARTIAL_RESULTS = 16 };

typedef enum { REDUCE_SUM, REDUCE_MAX } ReduceFunction;

typedef struct {
    ReduceFunction function;
    int32_t outer, length, inner;
    float factor; /* of the result */
} FloatReduceShape;

FARM_INLINE float reduce_two(float a, float b, ReduceFunction function) {
    return function == REDUCE_SUM ? a + b : float_max(a, b);
}

/* Sixteen partial results that are combined in pairs: the same order on every target, and one
 * that vectors of any length serve. */
FARM_INLINE float reduce_row(const float *x, int32_t length, ReduceFunction function) {
    float partial[PARTIAL_RESULTS];
    int32_t whole = length - length % PARTIAL_RESULTS;
    for (int32_t j = 0; j < PARTIAL_RESULTS; j++) {
        partial[j] = function == REDUCE_SUM ? 0.0f : -FLOAT_INFINITY;
    }
    for (int32_t i = 0; i < whole; i += PARTIAL_RESULTS) {
        for (int32_t j = 0; j < PARTIAL_RESULTS; j++) {
            partial[j] = reduce_two(partial[j], x[i + j], function);
        }
    }
    for (int32_t j = 0; j < length - whole; j++) {
        partial[j] = reduce_two(partial[j], x[whole + j], function);
    }
    for (int32_t half = PARTIAL_RESULTS / 2; half > 0; half /= 2) {
        for (int32_t j = 0; j < half; j++) {
            partial[j] = reduce_two(partial[j], partial[j + half], function);
        }
    }
    return partial[0];
}

/* y: [outer][inner]. */
FARM_INLINE void float_reduce(const float *x, float *y, FloatReduceShape s) {
    for (int32_t i = 0; i < s.outer; i++, y += s.inner, x += s.length * s.inner) {
        if (s.inner == 1) {
            y[0] = without_sign_of_zero(reduce_row(x, s.length, s.function) * s.factor);
            continue;
        }
        for (int32_t j = 0; j < s.inner; j++) {
            y[j] = x[j];
        }
        for (int32_t k = 1; k < s.length; k++) {
            EACH_ALONE
            for (int32_t j = 0; j < s.inner; j++) {
                y[j] = reduce_two(y[j], x[k * s.inner + j], s.function);
            }
        }
        EACH_ALONE
        for (int32_t j = 0; j < s.inner; j++) {
            y[j] = without_sign_of_zero(y[j] * s.factor);
        }
    }
}

typedef struct {
    int32_t outer, length, inner;
} FloatSoftmaxShape;

/* y = exp(x - largest) / sum, for elements that are neighbours; x and y may be the same. */
FARM_INLINE void softmax_row(const float *x, float *y, int32_t length) {
    float largest = reduce_row(x, length, REDUCE_MAX);
    EACH_ALONE
    for (int32_t i = 0; i < length; i++) {
        y[i] = float_exp(x[i] - largest);
    }
    float factor = 1.0f / reduce_row(y, length, REDUCE_SUM);
    EACH_ALONE
    for (int32_t i = 0; i < length; i++) {
        y[i] *= factor;
    }
}

/* The same for elements that are `stride` apart. */
FARM_INLINE void softmax_column(const float *x, float *y, int32_t length, int32_t stride) {
    float largest = x[0], sum = 0.0f;
    for (int32_t i = 1; i < length; i++) {
        largest = float_max(largest, x[i * stride]);
    }
    for (int32_t i = 0; i < length; i++) {
        float power = float_exp(x[i * stride] - largest);
        y[i * stride] = power;
        sum += power;
    }
    float factor = 1.0f / sum;
    for (int32_t i = 0; i < length; i++) {
        y[i * stride] *= factor;
    }
}

FARM_INLINE void float_softmax(const float *x, float *y, FloatSoftmaxShape s) {
    for (int32_t i = 0; i < s.outer; i++, x += s.length * s.inner, y += s.length * s.inner) {
        if (s.inner == 1) {
            softmax_row(x, y, s.length);
            continue;
        }
        for (int32_t j = 0; j < s.inner; j++) {
            softmax_column(x + j, y + j, s.length, s.inner);
        }
    }
}

#endif
