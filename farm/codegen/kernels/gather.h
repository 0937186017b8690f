/* Slices of a tensor at indices that are known when the model runs, and a choice of two elements. */
#ifndef FARM_GATHER_H
#define FARM_GATHER_H

#include "common.h"

/* Data are [outer][rows][row], y is [outer][indices][row]; bytes: of a row. */
typedef struct {
    int32_t outer, rows, indices, bytes;
} GatherShape;

/* Negative indices count from the end. Those beyond an end are taken for the last row there, so
 * that nothing else is read. */
FARM_INLINE int32_t gather_row(int64_t index, int32_t rows) {
    int64_t row = index < 0 ? index + rows : index;
    return row < 0 ? 0 : row >= rows ? rows - 1 : (int32_t)row;
}

#define GATHER(NAME, TYPE)                                                                      \
    FARM_INLINE void NAME(const void *data, const TYPE *indices, void *y, GatherShape s) {      \
        const uint8_t *from = data;                                                             \
        uint8_t *to = y;                                                                        \
        for (int32_t i = 0; i < s.outer; i++) {                                                 \
            for (int32_t j = 0; j < s.indices; j++) {                                           \
                memcpy(to, from + gather_row(indices[j], s.rows) * s.bytes, (size_t)s.bytes);   \
                to += s.bytes;                                                                  \
            }                                                                                   \
            from += s.rows * s.bytes;                                                           \
        }                                                                                       \
    }

GATHER(gather_int32, int32_t)
GATHER(gather_int64, Long)

/* A nest of four loops; strides are in elements, 0 where an operand is broadcast. */
typedef struct {
    int32_t length[4], choice_stride[4], a_stride[4], b_stride[4];
} SelectShape;

/* y = choice ? a : b, row-major. */
#define SELECT(NAME, TYPE)                                                                      \
    FARM_INLINE void NAME(const uint8_t *choice, const void *a, const void *b, void *y,         \
                          SelectShape s) {                                                      \
        const int32_t *n = s.length, *r = s.choice_stride, *p = s.a_stride, *q = s.b_stride;    \
        const TYPE *yes = a, *no = b;                                                           \
        TYPE *to = y;                                                                           \
        for (int32_t i = 0; i < n[0]; i++) {                                                    \
            for (int32_t j = 0; j < n[1]; j++) {                                                \
                for (int32_t k = 0; k < n[2]; k++) {                                            \
                    int32_t c = i * r[0] + j * r[1] + k * r[2];                                 \
                    int32_t t = i * p[0] + j * p[1] + k * p[2];                                 \
                    int32_t f = i * q[0] + j * q[1] + k * q[2];                                 \
                    for (int32_t l = 0; l < n[3]; l++) {                                        \
                        to[l] = choice[c + l * r[3]] ? yes[t + l * p[3]] : no[f + l * q[3]];    \
                    }                                                                           \
                    to += n[3];                                                                 \
                }                                                                               \
            }                                                                                   \
        }                                                                                       \
    }

SELECT(select_4, Word)
SELECT(select_8, Long)

#endif
