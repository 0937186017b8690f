/* Interpolation along one axis, the weights of which are known when the code is generated. */
#ifndef FARM_FLOAT_RESAMPLE_H
#define FARM_FLOAT_RESAMPLE_H

#include "float_math.h"

/* x: [outer][input][inner], y: [outer][output][inner]. */
typedef struct {
    int32_t outer, input, output, inner, taps;
} FloatResampleShape;

/* y[o] = offset[o] + the sum of weights[o][tap] * x[places[o][tap]]. */
FARM_INLINE void float_resample(const float *x, const int32_t *places, const float *weights,
                                const float *offset, float *restrict y, FloatResampleShape s) {
    for (int32_t i = 0; i < s.outer; i++, x += s.input * s.inner) {
        for (int32_t o = 0; o < s.output; o++, y += s.inner) {
            for (int32_t j = 0; j < s.inner; j++) {
                y[j] = offset[o];
            }
            for (int32_t tap = 0; tap < s.taps; tap++) {
                const float *from = x + places[o * s.taps + tap] * s.inner;
                float weight = weights[o * s.taps + tap];
                for (int32_t j = 0; j < s.inner; j++) {
                    y[j] += weight * from[j];
                }
            }
        }
    }
}

#endif
