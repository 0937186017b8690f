/* Columns of halved rows that end in the middle of a vector: two rows are then whole vectors.
 */
#ifndef FARM_PAIRED_ROWS_H
#define FARM_PAIRED_ROWS_H

#include "near_vectors.h"

#ifdef __HVX__
#define SHIFTS_VECTORS 1
#else
#define SHIFTS_VECTORS 0
#endif

/* Whether two rows are whole vectors, though one is not, and taps look outside of x only within
 * half a vector of its ends. Half a vector should have some words. */
FARM_INLINE int32_t rows_are_paired(ConvShape shape) {
    const int32_t inner = shape.out_width - LANES / 2; /* the first column of the last half */
    const int32_t last_tap = tap_column(shape.kernel_width - 1, shape);
    return LANES > 2 && rows_are_halved(shape) && shape.out_width > LANES &&
           shape.out_width % LANES == LANES / 2 && shape.left <= LANES &&
           last_tap + (inner - 1) * 2 < shape.width;
}

/* Whether the vectors of pairs begin at multiples of their size. */
FARM_INLINE int32_t pairs_are_aligned(ConvShape shape) {
    return plane_bytes(shape) % (LANES * 4) == 0;
}

/* LANES words of x for either half of vector i of two rows. row: where x has, for a tap, the first
 * row. */
FARM_INLINE void load_halves(Bytes pair[2], const uint8_t *row, int32_t i, ConvShape shape) {
    const int32_t halves = shape.out_width / (LANES / 2);
    const int32_t to_next = (shape.stride_y * shape.width - halves * LANES) * 4;
    for (int32_t half = 2 * i; half < 2 * i + 2; half++) {
        pair[half % 2] = bytes_load_apart(row + half * LANES * 4 + (half < halves ? 0 : to_next));
    }
}

/* Whether the first of three taps reads what the last one does for the column before, and outside
 * of x for column 0, on a target that would rather shift a vector than make another. */
FARM_INLINE int32_t first_follows_last(NearTaps near, ConvShape shape) {
    const int32_t column = tap_column(near.first, shape);
    return SHIFTS_VECTORS && near.taps == 3 && shape.dilation_x == 1 && column < 0 && column > -3;
}

/* What taps read for vector i of two rows. row: where x has the first one. last: what the last tap
 * reads for the vector before; becomes that of this one. */
FARM_INLINE void paired_vectors(Bytes v[NEAR_TAPS], Bytes *last, const uint8_t *row, int32_t i,
                                NearTaps near, ConvShape shape) {
    const int32_t is_shifted = first_follows_last(near, shape);
    Bytes pair[2];
    for (int32_t t = is_shifted; t < near.taps; t++) {
        const int32_t is_odd = (t - is_shifted) % 2 == 1 && shape.dilation_x == 1;
        if (!is_odd) {
            load_halves(pair, row + tap_column(near.first + t, shape) * 4, i, shape);
        }
        v[t] = is_odd ? bytes_odd(pair[0], pair[1]) : bytes_even(pair[0], pair[1]);
    }
    if (is_shifted) {
        v[0] = bytes_behind(row, *last, v[2], LANES - 1);
        *last = v[2];
    }
}

/* Vector i of two rows of the planes of taps. ends: those of rows that the vector has. See
 * paired_vectors. */
FARM_INLINE void fill_paired_vector(const uint8_t *row, uint8_t *to, Bytes *last, int32_t i,
                                    const Bytes mask[NEAR_TAPS], const int32_t ends, NearTaps near,
                                    ConvShape shape) {
    Bytes v[NEAR_TAPS];
    paired_vectors(v, last, row, i, near, shape);
    store_inside(to + i * LANES * 4, v, mask, ends, pairs_are_aligned(shape), near, shape);
}

/* Pairs of rows of the planes of taps. row: where x has the first one. Whole vectors between the
 * ends of rows have no masks. */
FARM_INLINE void fill_pairs(const uint8_t *row, uint8_t *to, int32_t pairs, NearTaps near,
                            ConvShape shape) {
    const int32_t width = shape.out_width, middle = width / LANES;
    Bytes left[NEAR_TAPS], both[NEAR_TAPS], right[NEAR_TAPS];
    Bytes last = bytes_fill((uint8_t)shape.zero_point); /* of any value */
    load_masks(left, near, 0, LEFT_END, shape);
    load_masks(both, near, middle * LANES, BOTH_ENDS, shape);
    load_masks(right, near, width - LANES, RIGHT_END, shape);
    for (int32_t pair = 0; pair < pairs; pair++) {
        row = one_source(row);
        to = one_target(to);
        fill_paired_vector(row, to, &last, 0, left, LEFT_END, near, shape);
        for (int32_t i = 1; i < middle; i++) {
            fill_paired_vector(row, to, &last, i, left, 0, near, shape);
        }
        fill_paired_vector(row, to, &last, middle, both, BOTH_ENDS, near, shape);
        for (int32_t i = middle + 1; i < 2 * middle; i++) {
            fill_paired_vector(row, to, &last, i, left, 0, near, shape);
        }
        fill_paired_vector(row, to, &last, 2 * middle, right, RIGHT_END, near, shape);
        row += 2 * shape.stride_y * shape.width * 4;
        to += 2 * width * 4;
    }
}

/* All planes for `rows` rows, an even number, none of which lies above or below x. Row 0 of the
 * first plane is row first_row of x. */
FARM_INLINE void build_pairs(const uint8_t *x, uint8_t *planes, const uint8_t *masks, int32_t rows,
                             int32_t first_row, ConvShape shape) {
    const int32_t width = shape.kernel_width;
    for (int32_t block = 0; block < shape.in_blocks; block++) {
        for (int32_t ky = 0; ky < shape.row_planes; ky++) {
            const uint8_t *row = x + (first_row + ky * shape.dilation_y) * shape.width * 4;
            for (int32_t tap = 0; tap < width; tap += NEAR_TAPS) {
                const NearTaps near = {tap, int_min(NEAR_TAPS, width - tap), masks};
                fill_pairs(row, planes + tap * plane_bytes(shape), rows / 2, near, shape);
            }
            planes += width * plane_bytes(shape);
        }
        x += shape.height * shape.width * 4;
    }
}

#endif
