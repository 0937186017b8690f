/* Vectors of floats, and the tile of a matrix product that lives in registers.
 *
 * Every element of a product is a sum in the order of the depth, whatever the vectors' length is,
 * so that all targets compute the same bits. Long sums are sums of parts: what is added to one
 * large number loses digits each time.
 */
#ifndef FARM_FLOAT_VECTOR_H
#define FARM_FLOAT_VECTOR_H

#include "float_math.h"

#if defined(__AVX512F__)
#define FLOAT_LANES 16
#define TILE_VECTORS 2
#elif defined(__AVX__)
#define FLOAT_LANES 8
#define TILE_VECTORS 2
#elif defined(__hexagon__) /* has no vectors of floats: what fits into its registers */
#define FLOAT_LANES 4
#define TILE_VECTORS 1
#else
#define FLOAT_LANES 4
#define TILE_VECTORS 2
#endif

enum { TILE_ROWS = 4, TILE_COLUMNS = TILE_VECTORS * FLOAT_LANES, LONGEST_SUM = 1024 };

typedef float Floats __attribute__((vector_size(FLOAT_LANES * sizeof(float))));
typedef Floats FloatsAnywhere __attribute__((aligned(4), may_alias));
typedef struct {
    Floats v[TILE_ROWS][TILE_VECTORS];
} FloatTile;

/* The first `count` floats, the rest 0. */
FARM_INLINE Floats floats_load(const float *p, int32_t count) {
    if (count >= FLOAT_LANES) {
        return *(const FloatsAnywhere *)p;
    }
    Floats v = {0};
    for (int32_t i = 0; i < count; i++) {
        v[i] = p[i];
    }
    return v;
}

/* Writes the first `count` floats only. */
FARM_INLINE void floats_store(float *p, Floats v, int32_t count) {
    if (count >= FLOAT_LANES) {
        *(FloatsAnywhere *)p = v;
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        p[i] = v[i];
    }
}

/* tile += a * b, in one sum: see tile_product. */
FARM_INLINE FloatTile tile_sum(FloatTile tile, const float *a, int32_t a_stride, const float *b,
                               int32_t b_stride, int32_t depth, int32_t rows, int32_t columns) {
    for (int32_t k = 0; k < depth; k++) {
#pragma GCC unroll 2
        for (int32_t i = 0; i < TILE_VECTORS; i++) {
            if (i * FLOAT_LANES < columns) {
                int32_t left = columns - i * FLOAT_LANES;
                Floats v = floats_load(b + k * b_stride + i * FLOAT_LANES, left);
#pragma GCC unroll 4
                for (int32_t row = 0; row < rows; row++) {
                    tile.v[row][i] += v * a[row * a_stride + k];
                }
            }
        }
    }
    return tile;
}

/* tile += a * b: rows of a and b start `a_stride` and `b_stride` floats apart. rows: at most
 * TILE_ROWS; columns: of b that may be read, more than TILE_COLUMNS count as that. Both are
 * constants where this is inlined. */
FARM_INLINE FloatTile tile_product(FloatTile tile, const float *a, int32_t a_stride,
                                   const float *b, int32_t b_stride, int32_t depth, int32_t rows,
                                   int32_t columns) {
    int32_t first = depth % LONGEST_SUM;
    tile = tile_sum(tile, a, a_stride, b, b_stride, first, rows, columns);
    for (int32_t k = first; k < depth; k += LONGEST_SUM) {
        FloatTile part = {0};
        part = tile_sum(part, a + k, a_stride, b + k * b_stride, b_stride, LONGEST_SUM, rows,
                        columns);
#pragma GCC unroll 4
        for (int32_t row = 0; row < rows; row++) {
#pragma GCC unroll 2
            for (int32_t i = 0; i < TILE_VECTORS; i++) {
                tile.v[row][i] += part.v[row][i];
            }
        }
    }
    return tile;
}

FARM_INLINE void tile_store(FloatTile tile, float *y, int32_t y_stride, int32_t rows,
                            int32_t columns) {
#pragma GCC unroll 4
    for (int32_t row = 0; row < rows; row++) {
#pragma GCC unroll 2
        for (int32_t i = 0; i < TILE_VECTORS; i++) {
            float *at = y + row * y_stride + i * FLOAT_LANES;
            floats_store(at, tile.v[row][i], columns - i * FLOAT_LANES);
        }
    }
}

#endif
