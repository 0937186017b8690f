/* Matrix products of plain tensors: y[row][o] from x[row][k] and constant weights.
 *
 * Lanes are outputs. Weights are strips of outputs, each [words of four k][outputs][4], filled up
 * with zeros: strips of 128 while they fill more than three vectors of HVX, then strips of 32.
 * Bias and multiplier have one element per output; they may be read to the end of the last strip
 * and for 32 outputs more.
 */
#ifndef FARM_DENSE_H
#define FARM_DENSE_H

#include "row.h"

enum { DENSE_WIDE = 128, DENSE_NARROW = 32, DENSE_ROWS = 4 };

typedef struct {
    int32_t rows, inputs, outputs;
    int32_t shift, post_shift, lowest, highest;
} DenseShape;

/* Four elements of a row, or as many as there are, as one word. Rows begin at words where their
 * length allows it, and the first one does in any case. */
FARM_INLINE uint32_t dense_word(const uint8_t *x, int32_t k, DenseShape shape) {
    uint32_t word = 0;
    if (k + 4 <= shape.inputs) {
        const int32_t is_aligned = shape.inputs % 4 == 0 || shape.rows == 1;
        return is_aligned ? word_load(x + k) : word_load_anywhere(x + k);
    }
    for (int32_t i = k; i < shape.inputs; i++) {
        word |= (uint32_t)x[i] << 8 * (i - k);
    }
    return word;
}

/* Adds the products of element k of the rows and of those after it: one or two words of four. */
FARM_INLINE void dense_products(RowSums *sums, const uint8_t *x, const int8_t *weights, int32_t k,
                                const int32_t words, const int32_t rows, const int32_t vectors,
                                const int32_t strip, DenseShape shape) {
    uint32_t four[DENSE_ROWS][2];
    for (int32_t r = 0; r < rows; r++) {
        four[r][0] = dense_word(x + r * shape.inputs, k, shape);
        four[r][1] = words == 1 ? 0 : dense_word(x + r * shape.inputs, k + 4, shape);
        row_elements(&sums[r], four[r][0], four[r][1]);
    }
    for (int32_t word = 0; word < words; word++) {
        Bytes four_weights[ROW_VECTORS];
        for (int32_t v = 0; v < vectors; v++) {
            four_weights[v] = row_weights(weights + (word * strip + v * LANES) * 4);
        }
        for (int32_t r = 0; r < rows; r++) {
            row_products(&sums[r], four[r][word], four_weights, vectors);
        }
    }
}

/* `rows` rows of `vectors` vectors of outputs, `outputs` of which exist, in a strip of so many. */
FARM_INLINE void dense_tile(const uint8_t *x, const int8_t *weights, const int32_t *bias,
                            const int16_t *multiplier, uint8_t *y, const int32_t rows,
                            const int32_t vectors, int32_t outputs, const int32_t strip,
                            DenseShape shape) {
    const RowRule rule = {shape.shift, shape.post_shift, shape.lowest, shape.highest};
    const int32_t words = row_words(rows, vectors), step = 4 * words;
    const int32_t whole = shape.inputs / step * step, left = shape.inputs - whole;
    RowSums sums[DENSE_ROWS];
    for (int32_t r = 0; r < rows; r++) {
        sums[r] = row_begin(bias, vectors);
    }
    for (int32_t k = 0; k < whole; k += step) {
        dense_products(sums, x, weights, k, words, rows, vectors, strip, shape);
        weights += strip * step;
    }
    if (left > 0) {
        dense_products(sums, x, weights, whole, (left + 3) / 4, rows, vectors, strip, shape);
    }
    for (int32_t r = 0; r < rows; r++) {
        row_end(&sums[r], multiplier, y + r * shape.outputs, vectors, outputs, rule);
    }
}

/* Some rows of one strip, `outputs` of which exist. */
FARM_INLINE void dense_strip(const uint8_t *x, const int8_t *weights, const int32_t *bias,
                             const int16_t *multiplier, uint8_t *y, const int32_t rows,
                             int32_t outputs, const int32_t strip, DenseShape shape) {
    const int32_t most = rows == 1 ? ROW_VECTORS : TILE;
    const int32_t vectors = int_min(most, strip / LANES), width = vectors * LANES;
    for (int32_t o = 0; o < outputs; o += width) {
        dense_tile(x, weights + o * 4, bias + o, multiplier + o, y + o, rows, vectors,
                   int_min(width, outputs - o), strip, shape);
    }
}

/* All outputs of some rows. */
FARM_INLINE void dense_rows(const uint8_t *x, const int8_t *weights, const int32_t *bias,
                            const int16_t *multiplier, uint8_t *y, const int32_t rows,
                            DenseShape shape) {
    const int32_t column_bytes = (shape.inputs + 3) / 4 * 4;
    int32_t o = 0;
    for (; shape.outputs - o > DENSE_WIDE - DENSE_NARROW; o += DENSE_WIDE) {
        dense_strip(x, weights + o * column_bytes, bias + o, multiplier + o, y + o, rows,
                    int_min(DENSE_WIDE, shape.outputs - o), DENSE_WIDE, shape);
    }
    for (; o < shape.outputs; o += DENSE_NARROW) {
        dense_strip(x, weights + o * column_bytes, bias + o, multiplier + o, y + o, rows,
                    int_min(DENSE_NARROW, shape.outputs - o), DENSE_NARROW, shape);
    }
}

FARM_INLINE void dense(const uint8_t *restrict x, const int8_t *restrict weights,
                       const int32_t *restrict bias, const int16_t *restrict multiplier,
                       uint8_t *restrict y, DenseShape shape) {
    int32_t row = 0;
    for (; row + DENSE_ROWS <= shape.rows; row += DENSE_ROWS) {
        dense_rows(x + row * shape.inputs, weights, bias, multiplier, y + row * shape.outputs,
                   DENSE_ROWS, shape);
    }
    for (; row < shape.rows; row++) {
        dense_rows(x + row * shape.inputs, weights, bias, multiplier, y + row * shape.outputs, 1,
                   shape);
    }
}

#endif
