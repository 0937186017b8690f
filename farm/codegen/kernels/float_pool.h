/* Pooling over up to three axes: the largest or the mean element of windows. */
#ifndef FARM_FLOAT_POOL_H
#define FARM_FLOAT_POOL_H

#include "float_window.h"

typedef struct {
    int32_t channels; /* of all batches */
    int32_t is_average;
    FloatWindow window;
} FloatPoolShape;

/* Takes the windows' taps in one row of the input into one row of the output. */
FARM_INLINE void pool_row(const float *x, float *y, FloatPoolShape s) {
    FloatWindow w = s.window;
    for (int32_t tap = 0; tap < w.kernel[2]; tap++) {
        Span span = window_span(w, 2, tap);
        EACH_ALONE
        for (int32_t i = span.first; i < span.last; i++) {
            float value = x[window_place(w, 2, tap, i)];
            y[i] = s.is_average ? y[i] + value : float_max(y[i], value);
        }
    }
}

/* One channel. parts: for each output index along depth, then height, then width the factor of
 * the sum that the mean takes from that axis. */
FARM_INLINE void pool_channel(const float *x, const float *parts, float *y, FloatPoolShape s) {
    FloatWindow w = s.window;
    const float *row_parts = parts + w.output[0], *part = row_parts + w.output[1];
    for (int32_t plane = 0; plane < w.output[0]; plane++) {
        for (int32_t row = 0; row < w.output[1]; row++, y += w.output[2]) {
            for (int32_t i = 0; i < w.output[2]; i++) {
                y[i] = s.is_average ? 0.0f : -FLOAT_INFINITY;
            }
            for (int32_t tap = 0; tap < w.kernel[0] * w.kernel[1]; tap++) {
                int32_t depth = window_place(w, 0, tap / w.kernel[1], plane);
                int32_t height = window_place(w, 1, tap % w.kernel[1], row);
                int is_inside = depth >= 0 && depth < w.input[0];
                is_inside = is_inside && height >= 0 && height < w.input[1];
                if (is_inside) {
                    pool_row(x + (depth * w.input[1] + height) * w.input[2], y, s);
                }
            }
            for (int32_t i = 0; i < w.output[2]; i++) {
                y[i] = s.is_average ? y[i] * (parts[plane] * row_parts[row] * part[i])
                                    : without_sign_of_zero(y[i]);
            }
        }
    }
}

FARM_INLINE void float_pool(const float *x, const float *parts, float *y, FloatPoolShape s) {
    FloatWindow w = s.window;
    for (int32_t channel = 0; channel < s.channels; channel++) {
        pool_channel(x, parts, y, s);
        x += w.input[0] * w.input[1] * w.input[2];
        y += w.output[0] * w.output[1] * w.output[2];
    }
}

#endif
