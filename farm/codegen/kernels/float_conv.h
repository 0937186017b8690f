/* Convolution over height and width. */
#ifndef FARM_FLOAT_CONV_H
#define FARM_FLOAT_CONV_H

#include "float_vector.h"
#include "float_window.h"

/* x: [batch][groups * inputs][positions], y: [batch][groups * outputs][positions], weights:
 * [groups * outputs][inputs][kernel], bias: [groups * outputs]. */
typedef struct {
    int32_t batch, groups, inputs, outputs; /* channels of one group */
    FloatWindow window;                     /* of depth 1 */
} FloatConvShape;

FARM_INLINE int32_t conv_input_positions(FloatConvShape s) {
    return s.window.input[1] * s.window.input[2];
}

FARM_INLINE int32_t conv_output_positions(FloatConvShape s) {
    return s.window.output[1] * s.window.output[2];
}

FARM_INLINE int32_t conv_taps(FloatConvShape s) { return s.window.kernel[1] * s.window.kernel[2]; }

/* What one tap of one channel reads for `count` positions from number `start` on; 0 outside. Row
 * by row: neighbours outside, inside, and outside of the input again. */
FARM_INLINE void conv_column(const float *x, float *column, int32_t start, int32_t count,
                             int32_t tap_row, int32_t tap, FloatConvShape s) {
    FloatWindow w = s.window;
    Span rows = window_span(w, 1, tap_row), inside = window_span(w, 2, tap);
    int32_t row = start / w.output[2], at = start % w.output[2];
    for (int32_t done = 0; done < count; row++, at = 0) {
        int32_t end = int_min(w.output[2], at + count - done);
        int is_inside = row >= rows.first && row < rows.last;
        int32_t first = is_inside ? int_min(int_max(inside.first, at), end) : end;
        int32_t last = is_inside ? int_max(int_min(inside.last, end), first) : end;
        const float *from = x + window_place(w, 1, tap_row, row) * w.input[2];
        float *to = column + done - at;
        for (int32_t i = at; i < first; i++) {
            to[i] = 0.0f;
        }
        for (int32_t i = first; i < last; i++) {
            to[i] = from[window_place(w, 2, tap, i)];
        }
        for (int32_t i = last; i < end; i++) {
            to[i] = 0.0f;
        }
        done += end - at;
    }
}

/* The columns of one group for the positions of one tile: [inputs][kernel][TILE_COLUMNS]. */
FARM_INLINE void float_columns(const float *x, float *columns, int32_t start, int32_t count,
                              FloatConvShape s) {
    for (int32_t channel = 0; channel < s.inputs; channel++) {
        for (int32_t row = 0; row < s.window.kernel[1]; row++) {
            for (int32_t tap = 0; tap < s.window.kernel[2]; tap++) {
                conv_column(x, columns, start, count, row, tap, s);
                columns += TILE_COLUMNS;
            }
        }
        x += conv_input_positions(s);
    }
}

/* Some output channels at some positions. b: what they are computed from, see tile_product. */
FARM_INLINE void float_tile(const float *weights, const float *bias, const float *b,
                           int32_t b_stride, int32_t readable, float *y, int32_t rows,
                           int32_t columns, FloatConvShape s) {
    FloatTile tile = {0};
    int32_t depth = s.inputs * conv_taps(s);
#pragma GCC unroll 4
    for (int32_t row = 0; row < rows; row++) {
#pragma GCC unroll 2
        for (int32_t i = 0; i < TILE_VECTORS; i++) {
            tile.v[row][i] += bias[row];
        }
    }
    tile = tile_product(tile, weights, depth, b, b_stride, depth, rows, readable);
    tile_store(tile, y, conv_output_positions(s), rows, columns);
}

/* All output channels of one group at the positions of one tile. */
FARM_INLINE void conv_channels(const float *weights, const float *bias, const float *b,
                               int32_t b_stride, int32_t readable, float *y, int32_t columns,
                               FloatConvShape s) {
    int32_t left = s.outputs % TILE_ROWS, o = 0, depth = s.inputs * conv_taps(s);
    for (; o < s.outputs - left; o += TILE_ROWS) {
        float_tile(weights + o * depth, bias + o, b, b_stride, readable,
                  y + o * conv_output_positions(s), TILE_ROWS, columns, s);
    }
    if (left > 0) {
        float_tile(weights + o * depth, bias + o, b, b_stride, readable,
                  y + o * conv_output_positions(s), left, columns, s);
    }
}

FARM_INLINE int conv_is_pointwise(FloatConvShape s) {
    FloatWindow w = s.window;
    return conv_taps(s) == 1 && w.stride[1] == 1 && w.stride[2] == 1 && w.pad[1] == 0 &&
           w.pad[2] == 0 && w.input[1] == w.output[1] && w.input[2] == w.output[2];
}

/* One group at `columns` positions from `start` on. A pointwise convolution reads x itself. */
FARM_INLINE void conv_positions(const float *x, const float *weights, const float *bias, float *y,
                                float *scratch, int32_t start, int32_t columns,
                                FloatConvShape s) {
    if (conv_is_pointwise(s)) {
        conv_channels(weights, bias, x + start, conv_input_positions(s), columns, y + start,
                      columns, s);
    } else {
        float_columns(x, scratch, start, columns, s);
        conv_channels(weights, bias, scratch, TILE_COLUMNS, TILE_COLUMNS, y + start, columns, s);
    }
}

/* One group. scratch: 32 floats for each weight of an output. */
FARM_INLINE void conv_group(const float *x, const float *weights, const float *bias, float *y,
                            float *scratch, FloatConvShape s) {
    int32_t positions = conv_output_positions(s), left = positions % TILE_COLUMNS, start = 0;
    for (; start < positions - left; start += TILE_COLUMNS) {
        conv_positions(x, weights, bias, y, scratch, start, TILE_COLUMNS, s);
    }
    if (left > 0) {
        conv_positions(x, weights, bias, y, scratch, start, left, s);
    }
}

/* One output channel of a depthwise convolution: row by row, tap by tap. */
FARM_INLINE void conv_depthwise(const float *x, const float *weights, float bias, float *y,
                                FloatConvShape s) {
    FloatWindow w = s.window;
    for (int32_t row = 0; row < w.output[1]; row++, y += w.output[2]) {
        for (int32_t i = 0; i < w.output[2]; i++) {
            y[i] = bias;
        }
        for (int32_t tap_row = 0; tap_row < w.kernel[1]; tap_row++) {
            int32_t height = window_place(w, 1, tap_row, row);
            if (height < 0 || height >= w.input[1]) {
                continue;
            }
            for (int32_t tap = 0; tap < w.kernel[2]; tap++) {
                const float *from = x + height * w.input[2];
                float weight = weights[tap_row * w.kernel[2] + tap];
                Span span = window_span(w, 2, tap);
                EACH_ALONE
                for (int32_t i = span.first; i < span.last; i++) {
                    y[i] += weight * from[window_place(w, 2, tap, i)];
                }
            }
        }
    }
}

FARM_INLINE void float_conv(const float *x, const float *weights, const float *bias, float *y,
                            float *scratch, FloatConvShape s) {
    int32_t depth = s.inputs * conv_taps(s), positions = conv_output_positions(s);
    for (int32_t i = 0; i < s.batch * s.groups; i++) {
        int32_t o = i % s.groups * s.outputs; /* first output channel of the group */
        if (s.inputs == 1) {
            for (int32_t each = 0; each < s.outputs; each++) {
                conv_depthwise(x, weights + (o + each) * depth, bias[o + each],
                               y + each * positions, s);
            }
        } else {
            conv_group(x, weights + o * depth, bias + o, y, scratch, s);
        }
        x += s.inputs * conv_input_positions(s);
        y += s.outputs * positions;
    }
}

#endif
