/* Columns of a convolution whose windows move by one or two: built by whole vectors.
 *
 * A vector that would end behind its rows, and what lies above or below x, is written first, in the
 * order of memory: it reaches into what is written later.
 */
#ifndef FARM_NEAR_COLUMNS_H
#define FARM_NEAR_COLUMNS_H

#include "paired_rows.h"

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
    load_masks(mask, near, whole % width, BOTH_ENDS, shape);
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
    uint8_t *start = rows_are_halved(shape) ? one_target(to) : to;
    store_inside(start, v, mask, BOTH_ENDS, vectors_are_aligned(shape), near, shape);
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
            load_masks(mask, near, column, BOTH_ENDS, shape);
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
            load_masks(moved, near, column, BOTH_ENDS, shape);
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
    load_masks(mask, near, 0, BOTH_ENDS, shape);
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
    } else if (rows_are_paired(shape) && rows % 2 == 0) {
        build_pairs(x, planes, masks, rows, first_row, shape);
        stores_in_order();
        return;
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
