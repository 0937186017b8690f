/* Vectors of columns whose windows move by one or two.
 *
 * Where a plane's rows follow one another as those of x do (straight), or have every second word of
 * them (halved), vectors of several taps are made of the same words, with masks for what is not x.
 */
#ifndef FARM_NEAR_VECTORS_H
#define FARM_NEAR_VECTORS_H

#include "columns.h"

enum { NEAR_TAPS = 4 };   /* taps whose planes are built together */
enum { HALVED_ROWS = 4 }; /* that one vector holds at most; as in packing.py */
enum { LEFT_END = 1, RIGHT_END = 2, BOTH_ENDS = LEFT_END | RIGHT_END }; /* of rows */

/* Whether rows of x follow one another as those of planes do. */
FARM_INLINE int32_t rows_are_straight(ConvShape shape) {
    return rows_are_near(shape) && shape.stride_x == 1 && shape.stride_y == 1 &&
           shape.out_width == shape.width;
}

/* Whether planes have every second word of rows, and vectors few rows or a part of one. */
FARM_INLINE int32_t rows_are_halved(ConvShape shape) {
    return rows_are_near(shape) && shape.stride_x == 2 &&
           (shape.out_width >= LANES ||
            (LANES % shape.out_width == 0 && LANES / shape.out_width <= HALVED_ROWS));
}

/* Whether vectors are to hold one row, or a part of it, and so leave nothing. */
FARM_INLINE int32_t rows_are_long(ConvShape shape) {
    return shape.out_width >= LANES &&
           (rows_are_halved(shape) || (shape.out_width > LANES && shape.out_width % LANES == 0));
}

/* Rows that a vector of a halved plane holds, or touches. */
FARM_INLINE int32_t halved_rows(ConvShape shape) {
    return shape.out_width >= LANES ? 1 : LANES / shape.out_width;
}

/* Bytes of x from the first position of a vector of a plane to that of the next. */
FARM_INLINE int32_t vector_step(ConvShape shape) {
    return rows_are_straight(shape) ? LANES * 4
                                    : halved_rows(shape) * shape.stride_y * shape.width * 4;
}

/* Whether all vectors of a plane begin at multiples of their size. */
FARM_INLINE int32_t vectors_are_aligned(ConvShape shape) { return shape.out_width % LANES == 0; }

/* Whether a tap looks outside of x for some output column, at one of these ends of its row. */
FARM_INLINE int32_t looks_beyond(int32_t tap, const int32_t ends, ConvShape shape) {
    const int32_t first = tap_column(tap, shape);
    const int32_t last = first + (shape.out_width - 1) * shape.stride_x;
    return ((ends & LEFT_END) && first < 0) || ((ends & RIGHT_END) && last >= shape.width);
}

FARM_INLINE int32_t looks_outside(int32_t tap, ConvShape shape) {
    return looks_beyond(tap, BOTH_ENDS, shape);
}

/* Bytes of a mask: a row, and a vector that begins anywhere in it. */
FARM_INLINE int32_t mask_bytes(ConvShape shape) {
    return ((shape.out_width + LANES) * 4 + 127) / 128 * 128;
}

/* Bytes of the masks of the taps before this one: those that look outside have one. */
FARM_INLINE int32_t masks_before(int32_t tap, ConvShape shape) {
    int32_t bytes = 0;
    for (int32_t i = 0; i < tap; i++) {
        bytes += looks_outside(i, shape) ? mask_bytes(shape) : 0;
    }
    return rows_are_straight(shape) || rows_are_halved(shape) ? bytes : 0;
}

/* Masks of the output columns for which a tap looks inside of x, row after row. Writes up to a
 * vector behind the last, where the planes will be. */
FARM_INLINE void build_masks_of_taps(uint8_t *masks, ConvShape shape) {
    const int32_t width = shape.out_width, all = width + LANES;
    for (int32_t tap = 0; tap < shape.kernel_width; tap++) {
        uint8_t *mask = masks + masks_before(tap, shape);
        const int32_t column = tap_column(tap, shape);
        const int32_t left = stride_begin(-column, shape.stride_x, width);
        const int32_t end = stride_begin(shape.width - column, shape.stride_x, width);
        const int32_t right = int_max(left, end);
        if (masks_before(tap + 1, shape) == masks_before(tap, shape)) {
            continue;
        }
        fill_vectors(mask, all, 255);
        stores_in_order();
        for (int32_t row = 0; row < all; row += width) {
            const int32_t limit = int_min(width, all - row);
            fill_words(mask + row * 4, int_min(left, limit), 0);
            fill_words(mask + (row + right) * 4, limit - right, 0);
        }
        stores_in_order();
    }
}

/* `taps` taps from `first` on, at most NEAR_TAPS, and the masks of all taps. */
typedef struct {
    int32_t first, taps;
    const uint8_t *masks;
} NearTaps;

/* Masks of a vector that begins at this output column. ends: those of rows that it may have. */
FARM_INLINE void load_masks(Bytes mask[NEAR_TAPS], NearTaps near, int32_t column,
                            const int32_t ends, ConvShape shape) {
    for (int32_t t = 0; t < near.taps; t++) {
        const uint8_t *of_tap = near.masks + masks_before(near.first + t, shape);
        mask[t] = looks_beyond(near.first + t, ends, shape) ? bytes_load_apart(of_tap + column * 4)
                                                            : bytes_fill(255);
    }
}

/* What taps read for the positions of a vector of a straight plane. from: where x has the first
 * of them. here: what the first tap reads, if vectors are aligned; becomes that of the next one.
 * Unaligned stores need what shifts a vector, so that a load is as good for these. */
FARM_INLINE void straight_vectors(Bytes v[NEAR_TAPS], const uint8_t *from, Bytes *here,
                                  NearTaps near, ConvShape shape) {
    const uint8_t *start = from + tap_column(near.first, shape) * 4;
    const int32_t can_shift = vectors_are_aligned(shape);
    Bytes next = can_shift ? bytes_load_apart(start + LANES * 4) : *here;
    for (int32_t t = 0; t < near.taps; t++) {
        const int32_t lanes = t * shape.dilation_x;
        v[t] = can_shift && lanes < LANES ? bytes_behind(start, *here, next, lanes)
                                          : bytes_load_apart(start + lanes * 4);
    }
    *here = next;
}

/* 2 * LANES words from here on, or from as many rows as there are in a vector of a halved plane;
 * `rows` of them exist. */
FARM_INLINE void load_halved(Bytes pair[2], const uint8_t *from, int32_t rows, ConvShape shape) {
    const int32_t count = halved_rows(shape), row_bytes = shape.stride_y * shape.width * 4;
    for (int32_t i = 0; i < 2; i++) {
        const int32_t row = int_min(i * count / 2, rows - 1);
        pair[i] = bytes_load_apart(from + (count == 1 ? i * LANES * 4 : row * row_bytes));
        if (count == 4) {
            const int32_t next = int_min(i * 2 + 1, rows - 1);
            Bytes behind = bytes_load_apart(from + next * row_bytes - LANES / 2 * 4);
            pair[i] = bytes_halves(pair[i], behind);
        }
    }
}

/* What taps read for the positions of a vector of a halved plane. Neighbours share their loads. */
FARM_INLINE void halved_vectors(Bytes v[NEAR_TAPS], const uint8_t *from, int32_t rows,
                                NearTaps near, ConvShape shape) {
    const uint8_t *start = one_source(from);
    Bytes pair[2];
    for (int32_t t = 0; t < near.taps; t++) {
        const int32_t is_odd = t % 2 == 1 && shape.dilation_x == 1;
        if (!is_odd) {
            load_halved(pair, start + tap_column(near.first + t, shape) * 4, rows, shape);
        }
        v[t] = is_odd ? bytes_odd(pair[0], pair[1]) : bytes_even(pair[0], pair[1]);
    }
}

/* The vectors of the planes of taps, with zero points for what is not x. ends: those of rows that
 * these vectors may have. */
FARM_INLINE void store_inside(uint8_t *to, const Bytes v[NEAR_TAPS], const Bytes mask[NEAR_TAPS],
                              const int32_t ends, const int32_t are_aligned, NearTaps near,
                              ConvShape shape) {
    const Bytes zeros = bytes_fill((uint8_t)shape.zero_point);
    for (int32_t t = 0; t < near.taps; t++) {
        uint8_t *place = to + t * plane_bytes(shape);
        const int32_t is_cut = looks_beyond(near.first + t, ends, shape);
        Bytes all = is_cut ? bytes_select(mask[t], v[t], zeros) : v[t];
        if (are_aligned) {
            bytes_store_aligned(place, all);
        } else {
            bytes_store(place, all);
        }
    }
}

#endif
