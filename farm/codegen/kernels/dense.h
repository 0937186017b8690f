/* Matrix products of plain tensors: y[row][o] from x[row][k] and constant weights.
 *
 * Lanes are outputs. Weights are [blocks of 32 outputs][words of four k][32 outputs][4], filled up
 * with zeros; bias and multiplier have one element per output.
 */
#ifndef FARM_DENSE_H
#define FARM_DENSE_H

#include "integer.h"
#include "vector.h"

enum { DENSE_BLOCK = 32, DENSE_VECTORS = DENSE_BLOCK / LANES, DENSE_ROWS = 2 };

typedef struct {
    int32_t rows, inputs, outputs;
    int32_t shift, post_shift, lowest, highest;
} DenseShape;

/* Four elements of a row, or as many as there are, as one word. */
FARM_INLINE uint32_t dense_word(const uint8_t *x, int32_t k, DenseShape shape) {
    uint32_t word = 0;
    if (shape.inputs % 4 == 0) {
        memcpy(&word, (const uint8_t *)__builtin_assume_aligned(x, 4) + k, 4);
    } else if (k + 4 <= shape.inputs) {
        memcpy(&word, x + k, 4);
    } else {
        for (int32_t i = k; i < shape.inputs; i++) {
            word |= (uint32_t)x[i] << 8 * (i - k);
        }
    }
    return word;
}

/* One block of outputs of `rows` rows, at most DENSE_ROWS; `outputs` of the block exist. */
FARM_INLINE void dense_tile(const uint8_t *x, const int8_t *weights, const int32_t *bias,
                            const int16_t *multiplier, uint8_t *y, const int32_t rows,
                            int32_t outputs, DenseShape shape) {
    Words sum[DENSE_ROWS][DENSE_VECTORS];
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t v = 0; v < DENSE_VECTORS; v++) {
            sum[r][v] = words_fill(0);
        }
    }
    for (int32_t k = 0; k < shape.inputs; k += 4) {
        for (int32_t r = 0; r < rows; r++) {
            Bytes four = bytes_fill_word(dense_word(x + r * shape.inputs, k, shape));
            for (int32_t v = 0; v < DENSE_VECTORS; v++) {
                Bytes block = bytes_load((const uint8_t *)weights + v * LANES * 4);
                sum[r][v] = dot_vectors(sum[r][v], four, block);
            }
        }
        weights += DENSE_BLOCK * 4;
    }
    for (int32_t r = 0; r < rows; r++) {
        int32_t sums[DENSE_BLOCK];
        for (int32_t v = 0; v < DENSE_VECTORS; v++) {
            words_store(sums + v * LANES, sum[r][v]);
        }
        for (int32_t o = 0; o < outputs; o++) {
            const IntegerRule rule = {shape.shift, multiplier[o], shape.post_shift, shape.lowest,
                                      shape.highest};
            y[r * shape.outputs + o] = integer_requantize(sums[o] + bias[o], rule);
        }
    }
}

FARM_INLINE void dense(const uint8_t *restrict x, const int8_t *restrict weights,
                       const int32_t *restrict bias, const int16_t *restrict multiplier,
                       uint8_t *y, DenseShape shape) {
    const int32_t block_bytes = (shape.inputs + 3) / 4 * 4 * DENSE_BLOCK;
    for (int32_t o = 0; o < shape.outputs; o += DENSE_BLOCK) {
        int32_t outputs = int_min(DENSE_BLOCK, shape.outputs - o), row = 0;
        const int8_t *block = weights + o / DENSE_BLOCK * block_bytes;
        for (; row + DENSE_ROWS <= shape.rows; row += DENSE_ROWS) {
            dense_tile(x + row * shape.inputs, block, bias + o, multiplier + o,
                       y + row * shape.outputs + o, DENSE_ROWS, outputs, shape);
        }
        if (row < shape.rows) {
            dense_tile(x + row * shape.inputs, block, bias + o, multiplier + o,
                       y + row * shape.outputs + o, 1, outputs, shape);
        }
    }
}

#endif
