/* Products of matrices, and of stacks of matrices that broadcast. */
#ifndef FARM_FLOAT_MATMUL_H
#define FARM_FLOAT_MATMUL_H

#include "float_vector.h"

/* a: [batches][rows][depth], b: [batches][depth][columns], y: [batches][rows][columns]. Batches
 * are a nest of three loops; strides are in elements, 0 where a matrix is used again. */
typedef struct {
    int32_t rows, depth, columns;
    int32_t batch[3], a_stride[3], b_stride[3];
    int32_t has_bias; /* bias: [columns] */
} FloatMatMulShape;

/* Some rows and columns of y, which are as many as a tile has, or fewer at the edges. */
FARM_INLINE void matmul_tile(const float *a, const float *b, const float *bias, float *y,
                             int32_t rows, int32_t columns, FloatMatMulShape s) {
    FloatTile tile = {0};
    if (s.has_bias) {
#pragma GCC unroll 4
        for (int32_t row = 0; row < rows; row++) {
#pragma GCC unroll 2
            for (int32_t i = 0; i < TILE_VECTORS; i++) {
                tile.v[row][i] = floats_load(bias + i * FLOAT_LANES, columns - i * FLOAT_LANES);
            }
        }
    }
    tile = tile_product(tile, a, s.depth, b, s.columns, s.depth, rows, columns);
    tile_store(tile, y, s.columns, rows, columns);
}

/* Some rows of y: whole tiles, then what is left of the columns. */
FARM_INLINE void matmul_rows(const float *a, const float *b, const float *bias, float *y,
                             int32_t rows, FloatMatMulShape s) {
    int32_t left = s.columns % TILE_COLUMNS, column = 0;
    for (; column < s.columns - left; column += TILE_COLUMNS) {
        matmul_tile(a, b + column, bias + column, y + column, rows, TILE_COLUMNS, s);
    }
    if (left > 0) {
        matmul_tile(a, b + column, bias + column, y + column, rows, left, s);
    }
}

FARM_INLINE void matmul_matrix(const float *a, const float *b, const float *bias, float *y,
                               FloatMatMulShape s) {
    int32_t left = s.rows % TILE_ROWS, row = 0;
    for (; row < s.rows - left; row += TILE_ROWS) {
        matmul_rows(a + row * s.depth, b, bias, y + row * s.columns, TILE_ROWS, s);
    }
    if (left > 0) {
        matmul_rows(a + row * s.depth, b, bias, y + row * s.columns, left, s);
    }
}

/* y = a * b + bias. */
FARM_INLINE void float_matmul(const float *a, const float *b, const float *bias, float *y,
                              FloatMatMulShape s) {
    for (int32_t i = 0; i < s.batch[0]; i++) {
        for (int32_t j = 0; j < s.batch[1]; j++) {
            for (int32_t k = 0; k < s.batch[2]; k++) {
                const float *p = a + i * s.a_stride[0] + j * s.a_stride[1] + k * s.a_stride[2];
                const float *q = b + i * s.b_stride[0] + j * s.b_stride[1] + k * s.b_stride[2];
                matmul_matrix(p, q, bias, y, s);
                y += s.rows * s.columns;
            }
        }
    }
}

#endif
