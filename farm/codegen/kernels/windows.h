/* Columns of a convolution of one input channel, whose x is plain [batch][height][width]: a word
 * is four taps along the row. Planes are [row_planes][kernel_width].
 */
#ifndef FARM_WINDOWS_H
#define FARM_WINDOWS_H

#include "columns.h"

enum { WINDOW_ROWS = 4 };  /* rows of a plane that are worked on at once */
enum { NEAR_BYTES = 128 }; /* that windows may lie outside of a row; as in packing.py */

/* Whether words are made of vectors of bytes, of which little lies outside of a row of x. Two
 * lanes are not worth it. */
FARM_INLINE int32_t windows_are_near(ConvShape shape) {
    const int32_t end = (shape.out_width - 1) * shape.stride_x + shape.kernel_width * 4;
    return LANES > 2 && shape.dilation_x == 1 && shape.stride_x <= NEAR_STRIDE &&
           shape.left < NEAR_BYTES && end - shape.left < shape.width + NEAR_BYTES;
}

/* Bytes of the mask of a padded row: whatever vectors of it read. */
FARM_INLINE int32_t window_mask_bytes(ConvShape shape) {
    return (shape.out_width * shape.stride_x + shape.kernel_width * 4 + 255) / 128 * 128;
}

/* Bytes for the rows of x that a band looks at. */
FARM_INLINE int32_t window_rows_bytes(ConvShape shape) {
    const int32_t rows = (plane_rows(shape.band, shape) - 1) * shape.stride_y +
                         (shape.row_planes - 1) * shape.dilation_y + 1;
    return (int_min(rows, shape.height) * shape.width + 127) / 128 * 128;
}

/* What lies before the planes in the scratch memory: the mask and the rows of x. */
FARM_INLINE int32_t bytes_before_windows(ConvShape shape) {
    return windows_are_near(shape) ? window_mask_bytes(shape) + window_rows_bytes(shape) : 0;
}

/* 255 where a padded row has x. */
FARM_INLINE void build_window_mask(uint8_t *mask, ConvShape shape) {
    const int32_t bytes = window_mask_bytes(shape);
    if (windows_are_near(shape)) {
        memset(mask, 0, (size_t)bytes);
        memset(mask + shape.left, 255, (size_t)int_min(shape.width, bytes - shape.left));
    }
}

/* Copies memory that need not be the package's: nothing is read that lies outside. */
FARM_INLINE void copy_exactly(uint8_t *to, const uint8_t *from, int32_t bytes) {
    const int32_t vector = LANES * 4, whole = bytes / vector * vector;
    for (int32_t i = 0; i < whole; i += vector) {
        bytes_store(to + i, bytes_load(from + i));
    }
    if (whole > 0) {
        bytes_store(to + bytes - vector, bytes_load(from + bytes - vector));
    } else {
        for (int32_t i = 0; i < bytes; i++) {
            to[i] = from[i];
        }
    }
}

/* `count` rows of a plane. row: the first of them in x, with the plane's word. inside: the first
 * vector of the mask. Rows that are longer than a vector end with one that begins earlier; others
 * are written with what is behind them. */
FARM_INLINE void fill_windows(const uint8_t *row, uint8_t *to, const uint8_t *mask, Bytes inside,
                              const int32_t count, ConvShape shape) {
    const int32_t row_bytes = shape.out_width * 4, step = shape.stride_y * shape.width;
    const Bytes zeros = bytes_fill((uint8_t)shape.zero_point);
    for (int32_t i = 0; i < shape.out_width; i += LANES) {
        const int32_t column = int_max(int_min(i, shape.out_width - LANES), 0);
        const int32_t at = column * shape.stride_x;
        uint8_t *place[WINDOW_ROWS];
        Bytes v[WINDOW_ROWS];
        inside = i > 0 ? bytes_load_apart(mask + at) : inside;
        for (int32_t r = 0; r < count; r++) {
            v[r] = bytes_select(inside, bytes_load_apart(row + r * step + at), zeros);
            v[r] = bytes_windows(v[r], shape.stride_x);
            place[r] = to + r * row_bytes + column * 4;
        }
        for (int32_t r = 0; r < count; r++) {
            bytes_store(place[r], v[r]);
            stores_in_order();
        }
    }
}

/* A plane whose row 0 is row first_row of x, of one of its words. x: rows from first_x on. Writes up
 * to a vector more than the plane. */
FARM_INLINE void build_window_plane(const uint8_t *x, uint8_t *plane, const uint8_t *mask,
                                    int32_t rows, int32_t first_row, int32_t first_x, int32_t word,
                                    ConvShape shape) {
    const int32_t row_bytes = shape.out_width * 4, step = shape.stride_y * shape.width;
    const int32_t top = stride_begin(-first_row, shape.stride_y, rows);
    const int32_t end = stride_begin(shape.height - first_row, shape.stride_y, rows);
    const int32_t bottom = int_max(top, end);
    const uint8_t *row = x + (first_row + top * shape.stride_y - first_x) * shape.width +
                         word * 4 - shape.left;
    uint8_t *to = plane + top * row_bytes;
    const Bytes inside = bytes_load_apart(mask + word * 4);
    int32_t r = top;
    fill_vectors(plane, top * shape.out_width, shape.zero_point);
    stores_in_order();
    for (; r + WINDOW_ROWS <= bottom; r += WINDOW_ROWS) {
        fill_windows(row, to, mask + word * 4, inside, WINDOW_ROWS, shape);
        row += WINDOW_ROWS * step;
        to += WINDOW_ROWS * row_bytes;
    }
    for (; r < bottom; r++) {
        fill_windows(row, to, mask + word * 4, inside, 1, shape);
        row += step;
        to += row_bytes;
    }
    fill_vectors(to, (rows - bottom) * shape.out_width, shape.zero_point);
    stores_in_order();
}

/* Planes of output rows top, top + 1, ..., by vectors. The rows of x that they look at are copied
 * to `room` first, where vectors may read beyond them. */
FARM_INLINE void build_near_windows(const uint8_t *x, uint8_t *planes, const uint8_t *mask,
                                    uint8_t *room, int32_t rows, int32_t top, ConvShape shape) {
    const int32_t all = plane_rows(rows, shape), first_row = top * shape.stride_y - shape.top;
    const int32_t reach = (all - 1) * shape.stride_y + (shape.row_planes - 1) * shape.dilation_y;
    const int32_t first = int_min(int_max(first_row, 0), shape.height);
    const int32_t end = int_max(int_min(first_row + reach + 1, shape.height), first);
    copy_exactly(room, x + first * shape.width, (end - first) * shape.width);
    stores_in_order();
    for (int32_t ky = 0; ky < shape.row_planes; ky++) {
        for (int32_t word = 0; word < shape.kernel_width; word++) {
            build_window_plane(room, planes, mask, all, first_row + ky * shape.dilation_y, first,
                               word, shape);
            planes += plane_bytes(shape);
        }
    }
}

/* One row of plain x for every word of the kernel's row: four taps, dilation_x apart. */
FARM_INLINE void build_single_row(const uint8_t *padded, uint8_t *to, ConvShape shape) {
    const int32_t step = shape.dilation_x;
    for (int32_t word = 0; word < shape.kernel_width; word++) {
        const uint8_t *from = padded + word * 4 * step;
        for (int32_t i = 0; i < shape.out_width; i++) {
            if (step == 1) {
                word_store(to + i * 4, word_load_anywhere(from));
            } else {
                uint32_t low = from[0] | (uint32_t)from[step] << 8;
                uint32_t high = from[2 * step] | (uint32_t)from[3 * step] << 8;
                word_store(to + i * 4, low | high << 16);
            }
            from += shape.stride_x;
        }
        to += plane_bytes(shape);
    }
}

/* The same planes byte by byte. Behind them is the room for one row with its padding. */
FARM_INLINE void build_far_windows(const uint8_t *x, uint8_t *planes, int32_t rows, int32_t top,
                              ConvShape shape) {
    const int32_t all = shape.row_planes * shape.kernel_width * plane_bytes(shape);
    const int32_t reach = (shape.out_width - 1) * shape.stride_x +
                          (shape.kernel_width * 4 - 1) * shape.dilation_x + 1;
    const int32_t inside = int_max(int_min(shape.width, reach - shape.left), 0);
    uint8_t *padded = planes + all;
    memset(padded, shape.zero_point, (size_t)reach);
    for (int32_t ky = 0; ky < shape.row_planes; ky++) {
        uint8_t *to = planes + ky * shape.kernel_width * plane_bytes(shape);
        for (int32_t r = 0; r < plane_rows(rows, shape); r++) {
            int32_t row = (top + r) * shape.stride_y + ky * shape.dilation_y - shape.top;
            if (row >= 0 && row < shape.height) {
                for (int32_t i = 0; i < inside; i++) {
                    padded[shape.left + i] = x[row * shape.width + i];
                }
                build_single_row(padded, to, shape);
            } else {
                for (int32_t word = 0; word < shape.kernel_width; word++) {
                    fill_words(to + word * plane_bytes(shape), shape.out_width,
                               (uint32_t)shape.zero_point * 0x01010101u);
                }
            }
            to += shape.out_width * 4;
        }
    }
}

/* All planes for output rows top, top + 1, ... of a band. scratch: has the mask at its start. */
FARM_INLINE void build_windows(const uint8_t *x, uint8_t *scratch, int32_t rows, int32_t top,
                               ConvShape shape) {
    uint8_t *planes = scratch + bytes_before_windows(shape);
    if (windows_are_near(shape)) {
        build_near_windows(x, planes, scratch, scratch + window_mask_bytes(shape), rows, top,
                           shape);
    } else {
        build_far_windows(x, planes, rows, top, shape);
    }
}

#endif
