/* Columns of a convolution whose windows move by one or two: built by whole vectors.
 *
 * Where a plane's rows follow one another as those of x do (straight), or have every second word of
 * them (halved), vectors of several taps are made of the same words, with masks for what is not x.
 * A vector that would end behind its rows, and what lies above or below x, is written first, in the
 * order of memory: it reaches into what is written later.
 */
#ifndef FARM_NEAR_COLUMNS_H
#define FARM_NEAR_COLUMNS_H

#include "columns.h"

enum { NEAR_TAPS = 4 }; /* taps whose planes are built together */

/* Whether rows of x follow one another as those of planes do. */
FARM_INLINE int32_t rows_are_straight(ConvShape shape) {
    return rows_are_near(shape) && shape.stride_x == 1 && shape.stride_y == 1 &&
           shape.out_width == shape.width;
}

/* Whether planes have every second word of rows, and vectors few rows or a part of one. */
FARM_INLINE int32_t rows_are_halved(ConvShape shape) {
    return rows_are_near(shape) && shape.stride_x == 2 &&
           (shape.out_width >= LANES ||
            (LANES % shape.out_width == 0 && LANES / shape.out_width <= 4));
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

/* Whether a tap looks outside of x for some output column. */
FARM_INLINE int32_t looks_outside(int32_t tap, ConvShape shape) {
    const int32_t first = tap_column(tap, shape);
    return first < 0 || first + (shape.out_width - 1) * shape.stride_x >= shape.width;
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

/* Masks of a vector that begins at this output column. */
FARM_INLINE void load_masks(Bytes mask[NEAR_TAPS], NearTaps near, int32_t column,
                            ConvShape shape) {
    for (int32_t t = 0; t < near.taps; t++) {
        const uint8_t *of_tap = near.masks + masks_before(near.first + t, shape);
        mask[t] = looks_outside(near.first + t, shape) ? bytes_load_apart(of_tap + column * 4)
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

/* The vectors of the planes of taps, with zero points for what is not x. */
FARM_INLINE void store_inside(uint8_t *to, const Bytes v[NEAR_TAPS], const Bytes mask[NEAR_TAPS],
                              NearTaps near, ConvShape shape) {
    const Bytes zeros = bytes_fill((uint8_t)shape.zero_point);
    uint8_t *start = rows_are_halved(shape) ? one_target(to) : to;
    for (int32_t t = 0; t < near.taps; t++) {
        uint8_t *place = start + t * plane_bytes(shape);
        const int32_t is_cut = looks_outside(near.first + t, shape);
        Bytes all = is_cut ? bytes_select(mask[t], v[t], zeros) : v[t];
        if (vectors_are_aligned(shape)) {
            bytes_store_aligned(place, all);
        } else {
            bytes_store(place, all);
        }
    }
}

/* Rows of a plane that lie inside of x: from `top` to before `bottom`, out of `rows`. row: the
 * first of them in x. */
typedef struct {
    const uint8_t *row;
    int32_t rows, top, bottom;
} NearRows;

/* Those of a plane of `rows` rows whose row 0 is row first_row of x. */
FARM_INLINE NearRows near_rows(const uint8_t *x, int32_t rows, int32_t first_row,
                               ConvShape shape) {
    const int32_t top = stride_begin(-first_row, shape.stride_y, rows);
    const int32_t end = stride_begin(shape.height - first_row, shape.stride_y, rows);
    const uint8_t *row = x + (first_row + top * shape.stride_y) * shape.width * 4;
    return (NearRows){row, rows, top, int_max(top, end)};
}

/* Words of a plane inside of x, and of them those in whole vectors. */
FARM_INLINE int32_t near_words(NearRows inside, ConvShape shape) {
    return (inside.bottom - inside.top) * shape.out_width;
}

FARM_INLINE int32_t whole_words(NearRows inside, ConvShape shape) {
    const int32_t words = near_words(inside, shape);
    return rows_are_long(shape) ? words : words / LANES * LANES;
}

/* Whether a plane has more than these. */
FARM_INLINE int32_t has_ends(NearRows inside, ConvShape shape) {
    const int32_t is_whole = rows_are_long(shape) ||
                             inside.rows * shape.out_width % LANES == 0;
    return inside.top > 0 || inside.bottom < inside.rows || !is_whole;
}

/* The last vector of the rows, which is not whole, of one tap. */
FARM_INLINE void fill_last_vector(NearRows inside, uint8_t *to, NearTaps near, ConvShape shape) {
    const int32_t whole = whole_words(inside, shape), width = shape.out_width;
    const uint8_t *from = inside.row + whole / LANES * vector_step(shape);
    Bytes mask[NEAR_TAPS], v[NEAR_TAPS];
    load_masks(mask, near, whole % width, shape);
    if (rows_are_straight(shape)) {
        v[0] = bytes_load_apart(from + tap_column(near.first, shape) * 4);
    } else {
        halved_vectors(v, from, (near_words(inside, shape) - whole) / width, near, shape);
    }
    bytes_store(to + (inside.top * width + whole) * 4,
                looks_outside(near.first, shape)
                    ? bytes_select(mask[0], v[0], bytes_fill((uint8_t)shape.zero_point))
                    : v[0]);
}

/* What lies above and below, and in last vectors, of the planes of one row of the kernel. */
FARM_INLINE void fill_ends(NearRows inside, uint8_t *to, const uint8_t *masks, ConvShape shape) {
    const int32_t width = shape.out_width;
    for (int32_t tap = 0; tap < shape.kernel_width; tap++) {
        fill_vectors(to, inside.top * width, shape.zero_point);
        stores_in_order();
        if (whole_words(inside, shape) < near_words(inside, shape)) {
            fill_last_vector(inside, to, (NearTaps){tap, 1, masks}, shape);
            stores_in_order();
        }
        fill_vectors(to + inside.bottom * width * 4, (inside.rows - inside.bottom) * width,
                     shape.zero_point);
        stores_in_order();
        to += plane_bytes(shape);
    }
}

/* The same of all planes. */
FARM_INLINE void build_ends(const uint8_t *x, uint8_t *planes, const uint8_t *masks, int32_t rows,
                            int32_t first_row, ConvShape shape) {
    for (int32_t block = 0; block < shape.in_blocks; block++) {
        for (int32_t ky = 0; ky < shape.row_planes; ky++) {
            const NearRows inside = near_rows(x, rows, first_row + ky * shape.dilation_y, shape);
            if (has_ends(inside, shape)) {
                fill_ends(inside, planes, masks, shape);
            }
            planes += shape.kernel_width * plane_bytes(shape);
        }
        x += shape.height * shape.width * 4;
    }
}

/* A vector of the planes of taps, whose positions begin at `from` in x. See straight_vectors. */
FARM_INLINE void fill_vector(const uint8_t *from, uint8_t *to, const Bytes mask[NEAR_TAPS],
                             Bytes *here, NearTaps near, ConvShape shape) {
    Bytes v[NEAR_TAPS];
    if (rows_are_straight(shape)) {
        straight_vectors(v, from, here, near, shape);
    } else {
        halved_vectors(v, from, LANES, near, shape);
    }
    store_inside(to, v, mask, near, shape);
}

/* Planes of taps whose vectors never hold more than one row. The last of a row begins earlier where
 * it would end outside. */
FARM_INLINE void fill_long_rows(NearRows inside, uint8_t *to, NearTaps near, ConvShape shape) {
    const uint8_t *row = inside.row;
    Bytes here = bytes_load_apart(row + tap_column(near.first, shape) * 4);
    Bytes mask[NEAR_TAPS];
    for (int32_t r = inside.top; r < inside.bottom; r++) {
        for (int32_t i = 0; i < shape.out_width; i += LANES) {
            const int32_t column = int_min(i, shape.out_width - LANES);
            load_masks(mask, near, column, shape);
            fill_vector(row + column * shape.stride_x * 4, to + column * 4, mask, &here, near,
                        shape);
        }
        row += shape.stride_y * shape.width * 4;
        to += shape.out_width * 4;
    }
}

/* The whole vectors of other planes of taps. mask: those of output column 0. */
FARM_INLINE void fill_whole_vectors(NearRows inside, uint8_t *to, const Bytes mask[NEAR_TAPS],
                                    NearTaps near, ConvShape shape) {
    const int32_t width = shape.out_width, words = whole_words(inside, shape);
    const uint8_t *row = inside.row;
    Bytes here = bytes_load_apart(row + tap_column(near.first, shape) * 4);
    Bytes moved[NEAR_TAPS];
    int32_t column = 0;
    for (int32_t i = 0; i < words; i += LANES) {
        if (LANES % width == 0) {
            fill_vector(row, to + i * 4, mask, &here, near, shape);
        } else {
            load_masks(moved, near, column, shape);
            fill_vector(row, to + i * 4, moved, &here, near, shape);
            column += LANES % width;
            column -= column >= width ? width : 0;
        }
        row += vector_step(shape);
    }
}

/* The whole vectors of the planes of taps in one row of the kernel, of all blocks. */
FARM_INLINE void fill_near_planes(NearRows inside, uint8_t *planes, NearTaps near,
                                  ConvShape shape) {
    const int32_t block_bytes = shape.row_planes * shape.kernel_width * plane_bytes(shape);
    uint8_t *to = planes + inside.top * shape.out_width * 4;
    Bytes mask[NEAR_TAPS];
    load_masks(mask, near, 0, shape);
    for (int32_t block = 0; block < shape.in_blocks; block++) {
        if (rows_are_long(shape)) {
            fill_long_rows(inside, to, near, shape);
        } else {
            fill_whole_vectors(inside, to, mask, near, shape);
        }
        inside.row += shape.height * shape.width * 4;
        to += block_bytes;
    }
}

/* All planes of straight or halved rows, as build_columns orders them. */
FARM_INLINE void build_near_columns(const uint8_t *x, uint8_t *planes, const uint8_t *masks,
                                    int32_t rows, int32_t first_row, ConvShape shape) {
    const int32_t width = shape.kernel_width;
    const int32_t last_row = first_row + (shape.row_planes - 1) * shape.dilation_y;
    if (has_ends(near_rows(x, rows, first_row, shape), shape) ||
        has_ends(near_rows(x, rows, last_row, shape), shape)) {
        build_ends(x, planes, masks, rows, first_row, shape);
    }
    for (int32_t ky = 0; ky < shape.row_planes; ky++) {
        const NearRows inside = near_rows(x, rows, first_row + ky * shape.dilation_y, shape);
        for (int32_t tap = 0; tap < width; tap += NEAR_TAPS) {
            const NearTaps near = {tap, int_min(NEAR_TAPS, width - tap), masks};
            fill_near_planes(inside, planes + (ky * width + tap) * plane_bytes(shape), near,
                             shape);
        }
    }
    stores_in_order();
}

/* All planes of all blocks of one group for output rows top, top + 1, ... of a band:
 * [blocks][row_planes][kernel_width]. masks: those that build_masks_of_taps made. */
FARM_INLINE void build_columns(const uint8_t *x, uint8_t *planes, const uint8_t *masks,
                               int32_t rows, int32_t top, ConvShape shape) {
    const int32_t all = plane_rows(rows, shape), first_row = top * shape.stride_y - shape.top;
    if (rows_are_straight(shape) || rows_are_halved(shape)) {
        build_near_columns(x, planes, masks, all, first_row, shape);
        return;
    }
    for (int32_t block = 0; block < shape.in_blocks; block++) {
        for (int32_t ky = 0; ky < shape.row_planes; ky++) {
            for (int32_t kx = 0; kx < shape.kernel_width; kx++) {
                build_plane(x, planes, all, first_row + ky * shape.dilation_y,
                            tap_column(kx, shape), shape);
                planes += plane_bytes(shape);
            }
        }
        x += shape.height * shape.width * 4;
    }
}

#endif
