/* Recurrent networks over a sequence: LSTM and GRU, forwards, backwards, or both. */
#ifndef FARM_FLOAT_RECURRENT_H
#define FARM_FLOAT_RECURRENT_H

#include "float_math.h"

enum { DOT_PARTS = 16 };

/* Strides are in elements: of x and y by step and batch entry, of states by batch entry and
 * direction. reverse: whether the first direction is the last one of time. has_...: whether an
 * initial state is given, or a result wanted. linear: GRU's reset comes after its product. */
typedef struct {
    int32_t steps, batch, inputs, hidden, directions, reverse;
    int32_t x_step, x_batch, y_step, y_batch, y_direction, state_batch, state_direction;
    int32_t has_h, has_c, has_y, has_last, has_cell, linear;
} FloatRecurrentShape;

/* Sixteen partial sums that are added in pairs: the same order on every target. */
FARM_INLINE float dot_row(const float *a, const float *b, int32_t length) {
    float part[DOT_PARTS] = {0};
    const int32_t whole = length - length % DOT_PARTS;
    for (int32_t i = 0; i < whole; i += DOT_PARTS) {
        for (int32_t j = 0; j < DOT_PARTS; j++) {
            part[j] = part[j] + a[i + j] * b[i + j];
        }
    }
    for (int32_t j = 0; j < length - whole; j++) {
        part[j] = part[j] + a[whole + j] * b[whole + j];
    }
    for (int32_t half = DOT_PARTS / 2; half > 0; half /= 2) {
        for (int32_t j = 0; j < half; j++) {
            part[j] = part[j] + part[j + half];
        }
    }
    return part[0];
}

/* gates[k] = bias[k] + w[k] x + r[k] h, for `count` rows of w and r. */
FARM_INLINE void recurrent_gates(const float *w, const float *r, const float *bias, const float *x,
                                 const float *h, float *gates, int32_t count,
                                 FloatRecurrentShape s) {
    for (int32_t k = 0; k < count; k++) {
        const float given = bias[k] + dot_row(w + k * s.inputs, x, s.inputs);
        gates[k] = given + dot_row(r + k * s.hidden, h, s.hidden);
    }
}

FARM_INLINE void state_copy(const float *from, float *to, int32_t is_given, int32_t size) {
    for (int32_t k = 0; k < size; k++) {
        to[k] = is_given ? from[k] : 0.0f;
    }
}

/* The step of the sequence that is step number `t` of a direction. */
FARM_INLINE int32_t recurrent_step(int32_t t, int32_t direction, FloatRecurrentShape s) {
    return direction == 1 || s.reverse ? s.steps - 1 - t : t;
}

/* One step. bias, gates: of input, output, forgetting, and cell; p: weights of the cell in the
 * first three of them. */
FARM_INLINE void lstm_step(const float *w, const float *r, const float *bias, const float *p,
                           const float *x, float *h, float *c, float *gates,
                           FloatRecurrentShape s) {
    const int32_t n = s.hidden;
    recurrent_gates(w, r, bias, x, h, gates, 4 * n, s);
    EACH_ALONE
    for (int32_t k = 0; k < n; k++) {
        const float input = float_sigmoid(gates[k] + p[k] * c[k]);
        const float forget = float_sigmoid(gates[2 * n + k] + p[2 * n + k] * c[k]);
        c[k] = forget * c[k] + input * float_tanh(gates[3 * n + k]);
        const float output = float_sigmoid(gates[n + k] + p[n + k] * c[k]);
        h[k] = output * float_tanh(c[k]);
    }
}

/* scratch: [6][hidden]. */
FARM_INLINE void float_lstm(const float *x, const float *w, const float *r, const float *bias,
                            const float *p, const float *h0, const float *c0, float *y,
                            float *last, float *cell, float *scratch, FloatRecurrentShape s) {
    const int32_t n = s.hidden;
    float *h = scratch, *c = scratch + n, *gates = scratch + 2 * n;
    for (int32_t d = 0; d < s.directions; d++) {
        for (int32_t b = 0; b < s.batch; b++) {
            const int32_t state = d * s.state_direction + b * s.state_batch;
            state_copy(h0 + state, h, s.has_h, n);
            state_copy(c0 + state, c, s.has_c, n);
            for (int32_t t = 0; t < s.steps; t++) {
                const int32_t at = recurrent_step(t, d, s);
                lstm_step(w + d * 4 * n * s.inputs, r + d * 4 * n * n, bias + d * 4 * n,
                          p + d * 3 * n, x + at * s.x_step + b * s.x_batch, h, c, gates, s);
                if (s.has_y) {
                    float *to = y + at * s.y_step + b * s.y_batch + d * s.y_direction;
                    state_copy(h, to, 1, n);
                }
            }
            if (s.has_last) {
                state_copy(h, last + state, 1, n);
            }
            if (s.has_cell) {
                state_copy(c, cell + state, 1, n);
            }
        }
    }
}

/* One step. bias: of update and reset, of the new state's product with x, and with h. gates: of
 * update and reset, the new state, and what the product with h reads. */
FARM_INLINE void gru_step(const float *w, const float *r, const float *bias, const float *x,
                          float *h, float *gates, FloatRecurrentShape s) {
    const int32_t n = s.hidden;
    float *update = gates, *reset = gates + n, *fresh = gates + 2 * n, *read = gates + 3 * n;
    recurrent_gates(w, r, bias, x, h, gates, 2 * n, s);
    EACH_ALONE
    for (int32_t k = 0; k < n; k++) {
        update[k] = float_sigmoid(update[k]);
        reset[k] = float_sigmoid(reset[k]);
        read[k] = s.linear ? h[k] : reset[k] * h[k];
    }
    for (int32_t k = 0; k < n; k++) {
        const int32_t row = 2 * n + k;
        const float given = bias[row] + dot_row(w + row * s.inputs, x, s.inputs);
        const float before = bias[row + n] + dot_row(r + row * n, read, n);
        fresh[k] = float_tanh(given + (s.linear ? reset[k] * before : before));
    }
    EACH_ALONE
    for (int32_t k = 0; k < n; k++) {
        h[k] = (1.0f - update[k]) * fresh[k] + update[k] * h[k];
    }
}

/* scratch: [5][hidden]. */
FARM_INLINE void float_gru(const float *x, const float *w, const float *r, const float *bias,
                           const float *h0, float *y, float *last, float *scratch,
                           FloatRecurrentShape s) {
    const int32_t n = s.hidden;
    float *h = scratch, *gates = scratch + n;
    for (int32_t d = 0; d < s.directions; d++) {
        for (int32_t b = 0; b < s.batch; b++) {
            const int32_t state = d * s.state_direction + b * s.state_batch;
            state_copy(h0 + state, h, s.has_h, n);
            for (int32_t t = 0; t < s.steps; t++) {
                const int32_t at = recurrent_step(t, d, s);
                gru_step(w + d * 3 * n * s.inputs, r + d * 3 * n * n, bias + d * 4 * n,
                         x + at * s.x_step + b * s.x_batch, h, gates, s);
                if (s.has_y) {
                    float *to = y + at * s.y_step + b * s.y_batch + d * s.y_direction;
                    state_copy(h, to, 1, n);
                }
            }
            if (s.has_last) {
                state_copy(h, last + state, 1, n);
            }
        }
    }
}

#endif
