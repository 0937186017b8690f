/* Transposed convolution over up to three axes of positions. */
#ifndef FARM_FLOAT_TRANSPOSED_H
#define FARM_FLOAT_TRANSPOSED_H

#include "float_window.h"

/* inputs, outputs: channels of one group. window: that of the convolution which goes the other
 * way: it reads y and writes x. */
typedef struct {
    int32_t batch, groups, inputs, outputs;
    FloatWindow window;
} FloatTransposedShape;

/* Adds what one tap of the window makes of a channel of x to a channel of y. */
FARM_INLINE void transposed_tap(const float *x, float weight, float *y, int32_t a, int32_t b,
                                int32_t c, FloatWindow w) {
    const Span depth = window_span(w, 0, a), height = window_span(w, 1, b);
    const Span width = window_span(w, 2, c);
    const int32_t stride = w.stride[2];
    for (int32_t i = depth.first; i < depth.last; i++) {
        for (int32_t j = height.first; j < height.last; j++) {
            const float *from = x + (i * w.output[1] + j) * w.output[2];
            const int32_t row = window_place(w, 0, a, i) * w.input[1] + window_place(w, 1, b, j);
            float *to = y + row * w.input[2] + window_place(w, 2, c, width.first);
            EACH_ALONE
            for (int32_t k = 0; k < width.last - width.first; k++) {
                to[k * stride] = to[k * stride] + from[width.first + k] * weight;
            }
        }
    }
}

/* weights: [groups * inputs][outputs][kernel]. */
FARM_INLINE void float_transposed(const float *x, const float *weights, const float *bias,
                                  float *y, FloatTransposedShape s) {
    const FloatWindow w = s.window;
    const int32_t taps = w.kernel[0] * w.kernel[1] * w.kernel[2];
    const int32_t x_plane = w.output[0] * w.output[1] * w.output[2];
    const int32_t y_plane = w.input[0] * w.input[1] * w.input[2];
    for (int32_t n = 0; n < s.batch * s.groups; n++, x += s.inputs * x_plane) {
        const int32_t group = n % s.groups;
        for (int32_t o = 0; o < s.outputs; o++, y += y_plane) {
            for (int32_t i = 0; i < y_plane; i++) {
                y[i] = bias[group * s.outputs + o];
            }
            for (int32_t c = 0; c < s.inputs; c++) {
                const float *tap =
                    weights + ((group * s.inputs + c) * s.outputs + o) * taps;
                for (int32_t t = 0; t < taps; t++) {
                    const int32_t plane = w.kernel[1] * w.kernel[2];
                    transposed_tap(x + c * x_plane, tap[t], y, t / plane,
                                   t % plane / w.kernel[2], t % w.kernel[2], w);
                }
            }
        }
    }
}

#endif
